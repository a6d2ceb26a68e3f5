"""The control API under /sandbox: open accounts, play stories, ask for the truth."""

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.accounts import Account, AccountSettings, Pace
from service.sandbox.erp import Behaviour
from service.sandbox.faults import Faults
from service.sandbox.ledger import Order
from service.sandbox.stories import STORIES, Story
from service.sandbox.world import world_of

T = TypeVar("T")

Amount = Annotated[int, Meta(ge=1)]
NOTIFICATIONS_MAX = 10_000


class ControlError(Exception):
    """The caller asked for something that the sandbox does not know or cannot do."""

    def __init__(self, status_code: int, detail: str) -> None:
        super().__init__(detail)
        self.status_code = status_code
        self.detail = detail


class OrderPlan(Struct, forbid_unknown_fields=True):
    """Orders to create, each playing the story; count of them get -1, -2, ... appended."""

    reference: str
    story: str
    amount: Amount = 4000
    currency: str = "EUR"
    count: Annotated[int, Meta(ge=1, le=100_000)] = 1
    pace: Pace | None = None


class Trigger(Struct, forbid_unknown_fields=True):
    """A story to play, on a new order or on the one named."""

    order_id: str | None = None
    reference: str | None = None
    amount: Amount = 4000
    currency: str = "EUR"
    pace: Pace | None = None


class UnseenMoney(Struct, forbid_unknown_fields=True):
    """Money for the ledger of an order that the provider is never going to show."""

    order_id: str
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
    """Open an account (201) or replace the settings of one, keeping its orders (200)."""
    settings = _decode(await request.body(), AccountSettings)
    try:
        is_new = world_of(request).open_account(settings)
    except ValueError as error:
        raise ControlError(409, str(error)) from error
    return _json({"account": settings.name}, 201 if is_new else 200)


async def create_orders(request: Request) -> Response:
    """Create orders and start playing their story; answer their ids and references."""
    account = _account(request)
    plan = _decode(await request.body(), OrderPlan)
    world, story = world_of(request), _story(plan.story)
    references = (
        [plan.reference]
        if plan.count == 1
        else [f"{plan.reference}-{number}" for number in range(1, plan.count + 1)]
    )
    created = []
    for reference in references:
        order = world.ask(
            account, plan.story, reference=reference, amount=plan.amount, currency=plan.currency
        )
        world.play(account, order, story, plan.pace or account.settings.pace)
        created.append({"order_id": order.id, "reference": reference})
    return _json(created, 201)


async def play_story(request: Request) -> Response:
    """Play a story on a new order, or on order_id; answer which order it is."""
    account = _account(request)
    name = request.path_params["story"]
    trigger = _decode(await request.body() or b"{}", Trigger)
    world, story = world_of(request), _story(name)
    if trigger.order_id is not None:
        order = _order(account, trigger.order_id)
    else:
        number = sum(1 for _ in account.orders()) + 1
        reference = trigger.reference or f"SBX-{number:06d}"
        order = world.ask(
            account, name, reference=reference, amount=trigger.amount, currency=trigger.currency
        )
    world.play(account, order, story, trigger.pace or account.settings.pace)
    return _json({"order_id": order.id, "reference": order.reference}, 201)


async def add_unseen_money(request: Request) -> Response:
    """Make the ledger say more than the provider shows."""
    unseen = _decode(await request.body(), UnseenMoney)
    _order(_account(request), unseen.order_id).unseen += unseen.amount
    return Response(status_code=204)


async def set_faults(request: Request) -> Response:
    """Replace an account's faults; what is not named is off."""
    account = _account(request)
    account.settings.faults = _decode(await request.body(), Faults)
    return _json(account.settings.faults)


async def truth(request: Request) -> Response:
    """Answer the ledger's truth per order, of one account or of all."""
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
    return _json(sorted(STORIES))


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
    Route("/sandbox/accounts/{account}/orders", create_orders, methods=["POST"]),
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


def _account(request: Request) -> Account:
    name = request.path_params["account"]
    account = world_of(request).accounts.get(name)
    if account is None:
        raise ControlError(404, f"unknown account {name}")
    return account


def _order(account: Account, order_id: str) -> Order:
    listed = account.resources.get(order_id)
    if listed is None or listed.return_id:
        raise ControlError(404, f"no order {order_id} in {account.settings.name}")
    return listed.order


def _story(name: str) -> Story:
    if name not in STORIES:
        raise ControlError(404, f"unknown story {name}; there are: {', '.join(sorted(STORIES))}")
    return STORIES[name]


def _decode(body: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as error:
        raise ControlError(400, str(error)) from error


def _json(content: object, status_code: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status_code, media_type="application/json")
