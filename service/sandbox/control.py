"""The control API under /sandbox: open accounts, play stories, ask for the truth."""

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox import twins
from service.sandbox.accounts import Pace
from service.sandbox.erp import Behaviour
from service.sandbox.faults import Faults
from service.sandbox.ledger import PaymentRequest
from service.sandbox.story import Story
from service.sandbox.twins import TWINS
from service.sandbox.world import AnyAccount, World, world_of

T = TypeVar("T")

Amount = Annotated[int, Meta(ge=1)]
NOTIFICATIONS_MAX = 10_000


class ControlError(Exception):
    """The caller asked for something that the sandbox does not know or cannot do."""

    def __init__(self, status_code: int, detail: str) -> None:
        super().__init__(detail)
        self.status_code = status_code
        self.detail = detail


class RequestPlan(Struct, forbid_unknown_fields=True):
    """Requests to make, each playing the story; count of them get -1, -2, ... appended."""

    reference: str
    story: str
    amount: Amount = 4000
    currency: str = "EUR"
    count: Annotated[int, Meta(ge=1, le=100_000)] = 1
    pace: Pace | None = None


class Trigger(Struct, forbid_unknown_fields=True):
    """A story to play, on a new request or on the one named."""

    provider_id: str | None = None
    reference: str | None = None
    amount: Amount = 4000
    currency: str = "EUR"
    pace: Pace | None = None


class UnseenMoney(Struct, forbid_unknown_fields=True):
    """Money for the ledger of a request that the provider is never going to show."""

    provider_id: str
    amount: Amount


class Secrets(Struct, forbid_unknown_fields=True):
    """The `whsec_...` secrets that the ERP accepts."""

    secrets: list[Annotated[str, Meta(pattern="^whsec_[A-Za-z0-9+/]+={0,2}$")]]


def answer_control_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ControlError)
    return _json({"error": error.detail}, error.status_code)


async def healthz(_request: Request) -> Response:
    return _json({"status": "ok"})


async def open_account(request: Request) -> Response:
    """Open an account (201) or replace the settings of one, keeping its requests (200)."""
    try:
        account, is_new = twins.open_account(world_of(request), await request.body())
    except (msgspec.DecodeError, twins.UnknownProvider) as error:
        raise ControlError(400, str(error)) from error
    except ValueError as error:
        raise ControlError(409, str(error)) from error
    shown = {"account": account.settings.name, **account.handover}
    return _json(shown, 201 if is_new else 200)


async def make_requests(request: Request) -> Response:
    """Make requests and start playing their story; answer which they are."""
    account = _account(request)
    plan = _decode(await request.body(), RequestPlan)
    world, story = world_of(request), _story(account, plan.story)
    references = (
        [plan.reference]
        if plan.count == 1
        else [f"{plan.reference}-{number}" for number in range(1, plan.count + 1)]
    )
    made = []
    for reference in references:
        asked = _ask(world, account, story, reference, amount=plan.amount, currency=plan.currency)
        world.play(account, asked, story, plan.pace or account.settings.pace)
        made.append(_known_as(asked))
    return _json(made, 201)


async def play_story(request: Request) -> Response:
    """Play a story on a new request, or on provider_id; answer which request it is."""
    account = _account(request)
    trigger = _decode(await request.body() or b"{}", Trigger)
    world, story = world_of(request), _story(account, request.path_params["story"])
    if trigger.provider_id is not None:
        asked = _request(account, trigger.provider_id)
        if not account.can_play(story, asked):
            raise ControlError(409, f"this story is not about a {asked.kind} like this one")
    else:
        reference = trigger.reference or f"SBX-{world.requests_made + 1:06d}"
        asked = _ask(
            world, account, story, reference, amount=trigger.amount, currency=trigger.currency
        )
    world.play(account, asked, story, trigger.pace or account.settings.pace)
    return _json(_known_as(asked), 201)


async def add_unseen_money(request: Request) -> Response:
    """Make the ledger say more than the provider shows."""
    unseen = _decode(await request.body(), UnseenMoney)
    _request(_account(request), unseen.provider_id).unseen += unseen.amount
    return Response(status_code=204)


async def set_faults(request: Request) -> Response:
    """Replace an account's faults; what is not named is off."""
    account = _account(request)
    account.settings.faults = _decode(await request.body(), Faults)
    return _json(account.settings.faults)


async def truth(request: Request) -> Response:
    """Answer the ledger's truth per request, of one account or of all."""
    name = request.query_params.get("account")
    if name is not None and name not in world_of(request).accounts:
        raise ControlError(404, f"unknown account {name}")
    return _json(world_of(request).truth(name))


async def stats(request: Request) -> Response:
    """Answer the counts; with wait=SECONDS once nothing is under way, or after that time."""
    wait = request.query_params.get("wait", "0")
    if not wait.isdecimal():
        raise ControlError(400, "wait must be a number of seconds")
    await world_of(request).quiet(timeout_seconds=int(wait))
    return _json(world_of(request).stats())


async def stories(_request: Request) -> Response:
    """Answer the names of the stories, by provider."""
    return _json({name: sorted(twin.make.stories) for name, twin in TWINS.items()})


async def notifications(request: Request) -> Response:
    """Answer what the ERP received after number `after`, in arrival order."""
    after = request.query_params.get("after", "0")
    if not after.isdecimal():
        raise ControlError(400, "after must be a number")
    received = world_of(request).erp.received[int(after) :][:NOTIFICATIONS_MAX]
    return _json([notification.shown() for notification in received])


async def erp_summary(request: Request) -> Response:
    return _json(world_of(request).erp.summary())


async def set_behaviour(request: Request) -> Response:
    """Replace the ERP's behaviour; what is not named is ordinary."""
    behaviour = _decode(await request.body(), Behaviour)
    world_of(request).erp.behave(behaviour)
    return _json(behaviour)


async def set_secrets(request: Request) -> Response:
    """Replace the secrets that the ERP accepts."""
    world_of(request).erp.secrets = _decode(await request.body(), Secrets).secrets
    return Response(status_code=204)


async def latency(request: Request) -> Response:
    return _json(world_of(request).latency.summary())


async def knock(request: Request) -> Response:
    return await world_of(request).erp.take(request)


ROUTES = [
    Route("/erp/hooks", knock, methods=["POST"]),
    Route("/sandbox/healthz", healthz),
    Route("/sandbox/accounts", open_account, methods=["POST"]),
    Route("/sandbox/accounts/{account}/requests", make_requests, methods=["POST"]),
    Route("/sandbox/accounts/{account}/stories/{story}", play_story, methods=["POST"]),
    Route("/sandbox/accounts/{account}/faults", set_faults, methods=["POST"]),
    Route("/sandbox/accounts/{account}/unseen", add_unseen_money, methods=["POST"]),
    Route("/sandbox/stories", stories),
    Route("/sandbox/truth", truth),
    Route("/sandbox/stats", stats),
    Route("/sandbox/latency", latency),
    Route("/sandbox/erp/notifications", notifications),
    Route("/sandbox/erp/summary", erp_summary),
    Route("/sandbox/erp/behaviour", set_behaviour, methods=["POST"]),
    Route("/sandbox/erp/secrets", set_secrets, methods=["POST"]),
]


def _account(request: Request) -> AnyAccount:
    name = request.path_params["account"]
    account = world_of(request).accounts.get(name)
    if account is None:
        raise ControlError(404, f"unknown account {name}")
    return account


def _request(account: AnyAccount, provider_id: str) -> PaymentRequest:
    asked = account.requests.get(provider_id)
    if asked is None:
        raise ControlError(404, f"no request {provider_id} in {account.settings.name}")
    return asked


def _story(account: AnyAccount, name: str) -> Story:
    if name not in account.stories:
        known = ", ".join(sorted(account.stories))
        raise ControlError(404, f"unknown story {name}; there are: {known}")
    return account.stories[name]


def _ask(
    world: World,
    account: AnyAccount,
    story: Story,
    reference: str,
    *,
    amount: int,
    currency: str,
) -> PaymentRequest:
    try:
        return world.ask(account, story, reference=reference, amount=amount, currency=currency)
    except ValueError as error:
        raise ControlError(400, str(error)) from error


def _known_as(asked: PaymentRequest) -> dict[str, object]:
    return {"provider_id": asked.id, "kind": asked.kind, "reference": asked.reference}


def _decode(body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as error:
        raise ControlError(400, str(error)) from error


def _json(content: object, status_code: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status_code, media_type="application/json")
