"""bunq's API. Source: fact sheet bunq, sections 2, 4 and 6."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.bunq import handshake
from service.sandbox.bunq.account import BunqAccount
from service.sandbox.bunq.answers import (
    NOT_ALLOWED,
    NOT_FOUND,
    answer,
    answer_id,
    decoded,
    page_of,
    refused,
)
from service.sandbox.bunq.callbacks import URLS_PER_CATEGORY_MAX, Filter
from service.sandbox.bunq.creation import asked_inquiry
from service.sandbox.bunq.door import Endpoint, admitted, at_bunq, refusal_of_read
from service.sandbox.bunq.happenings import What, answer_in
from service.sandbox.bunq.stories import accept, end
from service.sandbox.bunq.words import Payment, inquiry_json, payment_json
from service.sandbox.faults import ReadFault
from service.sandbox.ledger import Entry, Json, PaymentRequest
from service.sandbox.provider_http import strike
from service.sandbox.world import world_of

RESENT_MAX = 100
# Stands in no table of statuses; some integrators' code has it. Source: section 2, status.
UNKNOWN_WORD = "CANCELLED"


class AskedFilters(Struct, forbid_unknown_fields=True):
    """All filters that there are to be."""

    notification_filters: list[Filter]


class AskedResend(Struct, forbid_unknown_fields=True):
    """Ids of failed callbacks, joined by commas."""

    notification_filter_failed_ids: Annotated[str, Meta(pattern="^[0-9]{1,18}(,[0-9]{1,18})*$")]


class AskedRevocation(Struct, forbid_unknown_fields=True):
    """The one change that we may make to a request inquiry."""

    status: Literal["REVOKED"]


async def create_inquiry(request: Request) -> Response:
    """Make a request; the sandbox's rich friend accepts a small one at once."""
    account, _ = await admitted(request, "request-inquiry")
    world = world_of(request)
    asked = asked_inquiry(await request.body())
    amount = asked.amount_inquired
    try:
        inquiry = account.create(amount.minor, amount.currency, asked.as_created, at=world.now())
    except ValueError as error:
        raise refused(400, str(error)) from error
    world.sender.tell(account, inquiry)
    if asked.is_accepted_at_once:
        accept().act(inquiry, world.now())
        world.sender.tell(account, inquiry)
    return answer_id(int(inquiry.id))


async def get_inquiry(request: Request) -> Response:
    """Answer one request inquiry."""
    account, _ = await admitted(request, "request-inquiry")
    fault = await strike(account, "read", refusal_of_read)
    return answer([_shown(request, account, _inquiry(request, account), fault)])


async def list_inquiries(request: Request) -> Response:
    """Answer a page of request inquiries, newest first. A fault distorts every one of them."""
    account, _ = await admitted(request, "request-inquiry")
    fault = await strike(account, "list", refusal_of_read)
    page, links = page_of(request, account.inquiries, lambda inquiry: int(inquiry.id))
    if fault is ReadFault.WRONG_RESOURCE:
        # Nobody asked for a certain one.
        fault = None
    return answer((_shown(request, account, each, fault) for each in page), links)


async def revoke_inquiry(request: Request) -> Response:
    """Withdraw a request that nobody has answered."""
    account, _ = await admitted(request, "request-inquiry")
    world = world_of(request)
    inquiry = _inquiry(request, account)
    decoded(await request.body(), AskedRevocation)
    if answer_in(inquiry.entries) is not None:
        raise refused(400, "The request has been answered or has ended.")
    end(What.REVOKED).act(inquiry, world.now())
    world.sender.tell(account, inquiry)
    return answer([_shown(request, account, inquiry, None)])


async def get_payment(request: Request) -> Response:
    """Answer one payment."""
    account, _ = await admitted(request, "payment")
    await strike(account, "payment", refusal_of_read)
    payment = account.payment(request.path_params["item_id"])
    if payment is None:
        raise refused(404, NOT_FOUND)
    return answer([{"Payment": payment_json(payment, account.payee)}])


async def list_payments(request: Request) -> Response:
    """Answer a page of payments, newest first, without those that reads do not show yet."""
    account, _ = await admitted(request, "payment")
    fault = await strike(account, "payments", refusal_of_read)
    page, links = page_of(request, account.payments, lambda payment: payment.id)
    shown = [payment for payment in page if _is_seen(request, account, payment, fault)]
    return answer(({"Payment": payment_json(each, account.payee)} for each in shown), links)


async def list_filters(request: Request) -> Response:
    """Answer the filters of the user or of an account."""
    account, _ = await admitted(request, "notification-filter-url")
    await strike(account, "filters", refusal_of_read)
    return _shown_filters(request, account)


async def replace_filters(request: Request) -> Response:
    """Put new filters in the place of all old ones of the user or of an account."""
    account, _ = await admitted(request, "notification-filter-url")
    wishes = decoded(await request.body(), AskedFilters).notification_filters
    categories = [wish.category for wish in wishes]
    if any(categories.count(each) > URLS_PER_CATEGORY_MAX for each in categories):
        raise refused(400, f"A category can have at most {URLS_PER_CATEGORY_MAX} URLs.")
    account.register(request.path_params.get("account_id"), wishes, at=world_of(request).now())
    return _shown_filters(request, account)


async def list_failures(request: Request) -> Response:
    """Answer a page of callbacks that were never taken."""
    account, _ = await admitted(request, "notification-filter-failure")
    await strike(account, "failures", refusal_of_read)
    page, links = page_of(request, list(account.failures.values()), lambda failure: failure.id)
    return answer(({"NotificationFilterFailure": each.shown} for each in page), links)


async def resend_failures(request: Request) -> Response:
    """Send failed callbacks once more; they leave the list."""
    account, _ = await admitted(request, "notification-filter-failure")
    asked = decoded(await request.body(), AskedResend).notification_filter_failed_ids
    identifiers = list(dict.fromkeys(int(text) for text in asked.split(",")))
    if len(identifiers) > RESENT_MAX:
        raise refused(400, f"At most {RESENT_MAX} callbacks can be sent again at a time.")
    if not account.failures.keys() >= set(identifiers):
        raise refused(404, NOT_FOUND)
    for identifier in identifiers:
        world_of(request).sender.send(account, account.failures.pop(identifier).call)
    return answer({"Id": {"id": identifier}} for identifier in identifiers)


async def refuse_method(_request: Request) -> Response:
    raise refused(405, NOT_ALLOWED)


async def refuse_path(_request: Request) -> Response:
    raise refused(404, NOT_FOUND)


USER = "/v1/user/{user_id:int}"
ACCOUNT = f"{USER}/monetary-account/{{account_id:int}}"
FILTERS: Mapping[str, Endpoint] = {"GET": list_filters, "POST": replace_filters}
PATHS: Mapping[str, Mapping[str, Endpoint]] = {
    "/v1/installation": {"POST": handshake.install},
    "/v1/device-server": {"POST": handshake.register_device},
    "/v1/session-server": {"POST": handshake.open_session},
    "/v1/session/{session_id:int}": {"DELETE": handshake.close_session},
    f"{ACCOUNT}/request-inquiry": {"GET": list_inquiries, "POST": create_inquiry},
    f"{ACCOUNT}/request-inquiry/{{item_id:int}}": {"GET": get_inquiry, "PUT": revoke_inquiry},
    f"{ACCOUNT}/payment": {"GET": list_payments},
    f"{ACCOUNT}/payment/{{item_id:int}}": {"GET": get_payment},
    f"{ACCOUNT}/notification-filter-url": FILTERS,
    f"{USER}/notification-filter-url": FILTERS,
    f"{USER}/notification-filter-failure": {"GET": list_failures, "POST": resend_failures},
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

ROUTES = [
    *(
        Route(path, at_bunq(endpoints.get(method, refuse_method)), methods=[method])
        for path, endpoints in PATHS.items()
        for method in METHODS
    ),
    Route("/v1/user/{rest:path}", at_bunq(refuse_path), methods=METHODS),
]


def _inquiry(request: Request, account: BunqAccount) -> PaymentRequest:
    inquiry = account.requests.get(str(request.path_params["item_id"]))
    if inquiry is None:
        raise refused(404, NOT_FOUND)
    return inquiry


def _shown(
    request: Request, account: BunqAccount, inquiry: PaymentRequest, fault: ReadFault | None
) -> Json:
    """Return a request inquiry as it is seen now, with one thing wrong where there is a fault."""
    seen = _seen(request, account, inquiry, fault)
    shown = inquiry_json(inquiry, seen, account.payee)
    if fault is ReadFault.WRONG_RESOURCE:
        shown["id"] = int(inquiry.id) + 1_000_000_000
    if fault is ReadFault.UNKNOWN_WORD:
        shown["status"] = UNKNOWN_WORD
    return {"RequestInquiry": shown}


def _is_seen(
    request: Request, account: BunqAccount, payment: Payment, fault: ReadFault | None
) -> bool:
    return payment.entry in _seen(request, account, payment.request, fault)


def _seen(
    request: Request, account: BunqAccount, inquiry: PaymentRequest, fault: ReadFault | None
) -> Sequence[Entry]:
    now = world_of(request).now()
    if fault is ReadFault.STALE:
        age = timedelta(milliseconds=account.settings.faults.stale_ms)
        return inquiry.entries_until(now - age)
    return inquiry.seen_at(now)


def _shown_filters(request: Request, account: BunqAccount) -> Response:
    registered = account.registered(request.path_params.get("account_id"))
    return answer({"NotificationFilterUrl": each.shown} for each in registered)
