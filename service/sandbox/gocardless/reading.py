"""The reads of GoCardless's API. Source: fact sheet gocardless, sections 2, 7 and 8."""

import operator
from collections.abc import Callable, Mapping
from typing import TypeVar

from starlette.responses import Response

from service.sandbox.faults import ReadFault
from service.sandbox.gocardless.billing import billing_request_json
from service.sandbox.gocardless.creation import BillingRequest
from service.sandbox.gocardless.doors import Visit, comparisons, stretch_of
from service.sandbox.gocardless.errors import bad_usage, invalid, not_found
from service.sandbox.gocardless.events import Event, event_json
from service.sandbox.gocardless.happenings import PAYMENT_STARTS, happened
from service.sandbox.gocardless.hooks import Webhook, webhook_json
from service.sandbox.gocardless.ids import part_id
from service.sandbox.gocardless.parts import customer_id
from service.sandbox.gocardless.pictures import payment_json
from service.sandbox.gocardless.shelf import Shelf
from service.sandbox.gocardless.words import billing_word
from service.sandbox.ledger import Json
from service.sandbox.provider_http import json_answer

T = TypeVar("T")

UNKNOWN_WORD = "under_investigation"

# Filters by the id of something that an event links to. Source: section 2.3.
ID_FILTERS = (
    "billing_request",
    "payment",
    "mandate",
    "payout",
    "refund",
    "creditor",
    "subscription",
    "instalment_schedule",
    "payer_authorisation",
    "scheme_identifier",
    "outbound_payment",
    "export",
)
EVENT_FILTERS = (
    "resource_type",
    "action",
    "parent_event",
    *comparisons("created_at"),
    *ID_FILTERS,
)
COMPARES: Mapping[str, Callable[[str, str], bool]] = {
    "charge_date[gt]": operator.gt,
    "charge_date[gte]": operator.ge,
    "charge_date[lt]": operator.lt,
    "charge_date[lte]": operator.le,
}
PAYMENT_FACTS = (
    "status",
    "customer",
    "creditor",
    "mandate",
    "subscription",
    "scheme",
    "currency",
    *COMPARES,
)
PAYMENT_FILTERS = (*PAYMENT_FACTS, *comparisons("created_at"))
WEBHOOK_FILTERS = ("is_test", "successful", *comparisons("created_at"))


async def get_billing_request(visit: Visit) -> Response:
    asked = billing_request_of(visit)
    return json_answer({"billing_requests": _distorted(visit, shown_billing(visit, asked), "BRQ")})


async def list_billing_requests(visit: Visit) -> Response:
    """Answer newest first; there is no filter on created_at here. Source: section 2.1."""
    query = visit.request.query_params

    def matches(request: BillingRequest) -> bool:
        return query.get("status") in (None, billing_word(visit.entries(request))) and query.get(
            "customer"
        ) in (None, customer_id(request))

    shelf = visit.account.billing_requests
    return _listed(
        visit, "billing_requests", shelf, matches, shown_billing, filters=("status", "customer")
    )


async def get_payment(visit: Visit) -> Response:
    """Answer one payment; 404 while what this call sees does not have it yet."""
    request = payment_of(visit)
    return json_answer({"payments": _distorted(visit, shown_payment(visit, request), "PM")})


async def list_payments(visit: Visit) -> Response:
    query = visit.request.query_params
    if "customer" in query and "creditor" in query:
        raise bad_usage(400, "bad_request", "customer and creditor cannot be combined")
    wanted = {name: query[name] for name in PAYMENT_FACTS if name in query}

    def matches(request: BillingRequest) -> bool:
        if not happened(visit.entries(request), *PAYMENT_STARTS):
            return False
        return not wanted or _fits(visit, request, wanted)

    shelf = visit.account.payments
    return _listed(visit, "payments", shelf, matches, shown_payment, filters=PAYMENT_FILTERS)


async def get_event(visit: Visit) -> Response:
    event = visit.account.events.find(visit.request.path_params["id"])
    if event is None or not _is_listed(visit, event):
        raise not_found()
    return json_answer({"events": event_json(event)})


async def list_events(visit: Visit) -> Response:
    """Answer the events that are listed by now. Source: section 2.3."""
    query = visit.request.query_params
    ids = {name: query[name] for name in ID_FILTERS if name in query}
    if ids and "resource_type" in query:
        raise bad_usage(400, "bad_request", "resource_type cannot be combined with an id filter")

    def matches(event: Event) -> bool:
        return (
            _is_listed(visit, event)
            and query.get("resource_type") in (None, event.telling.resource_type)
            and query.get("action") in (None, event.telling.action)
            and all(event.links.get(name) == value for name, value in ids.items())
            and "parent_event" not in query
        )

    key = next(iter(ids.values()), None)
    shelf = visit.account.events
    return _listed(visit, "events", shelf, matches, _shown_event, filters=EVENT_FILTERS, key=key)


async def list_webhooks(visit: Visit) -> Response:
    query = visit.request.query_params
    for name in ("is_test", "successful"):
        if query.get(name) not in (None, "true", "false"):
            raise invalid(name, "must be true or false", f"/{name}")

    def matches(webhook: Webhook) -> bool:
        is_successful = "true" if webhook.successful else "false"
        return query.get("successful") in (None, is_successful) and query.get("is_test") != "true"

    shelf = visit.account.webhook_log
    return _listed(visit, "webhooks", shelf, matches, _shown_webhook, filters=WEBHOOK_FILTERS)


async def get_webhook(visit: Visit) -> Response:
    return json_answer({"webhooks": webhook_json(webhook_of(visit))})


def billing_request_of(visit: Visit) -> BillingRequest:
    """Return the billing request of the path. Raises ProviderError 404."""
    request = visit.account.billing_requests.find(visit.request.path_params["id"])
    if request is None:
        raise not_found()
    return request


def payment_of(visit: Visit) -> BillingRequest:
    """Return the request whose payment the path names. Raises ProviderError 404."""
    request = visit.account.payments.find(visit.request.path_params["id"])
    if request is None or not happened(visit.entries(request), *PAYMENT_STARTS):
        raise not_found()
    return request


def webhook_of(visit: Visit) -> Webhook:
    """Return the webhook of the path. Raises ProviderError 404."""
    webhook = visit.account.webhook_log.find(visit.request.path_params["id"])
    if webhook is None:
        raise not_found()
    return webhook


def shown_billing(visit: Visit, request: BillingRequest) -> Json:
    return billing_request_json(request, visit.entries(request), visit.account.merchant)


def shown_payment(visit: Visit, request: BillingRequest) -> Json:
    return payment_json(request, visit.entries(request), visit.account.merchant)


def _is_listed(visit: Visit, event: Event) -> bool:
    """Return whether an event shows by now; without a lag it always does, whatever the clock."""
    if visit.fault is not ReadFault.STALE and event.visible_at == event.at:
        return True
    return event.visible_at <= visit.seen_at


def _shown_event(_visit: Visit, event: Event) -> Json:
    return event_json(event)


def _shown_webhook(_visit: Visit, webhook: Webhook) -> Json:
    return webhook_json(webhook)


def _listed(
    visit: Visit,
    name: str,
    shelf: Shelf[T],
    matches: Callable[[T], bool],
    shown: Callable[[Visit, T], Json],
    *,
    filters: tuple[str, ...],
    key: str | None = None,
) -> Response:
    """Answer a page; a status in no table strikes its first line, where lines have one."""
    stretch = stretch_of(visit.request, filters)
    for cursor in ("after", "before"):
        value = visit.request.query_params.get(cursor)
        if value is not None and value not in shelf:
            raise invalid(cursor, "is not a cursor of this list", f"/{cursor}")
    page = shelf.page(stretch, matches, key)
    lines = [shown(visit, item) for item in page.items]
    if visit.fault is ReadFault.UNKNOWN_WORD and lines and "status" in lines[0]:
        lines[0] |= {"status": UNKNOWN_WORD}
    meta = {"cursors": {"before": page.before, "after": page.after}, "limit": stretch.limit}
    return json_answer({name: lines, "meta": meta})


def _distorted(visit: Visit, shown: Json, prefix: str) -> Json:
    """Return the picture with one thing wrong, if a fault strikes: its id or its status."""
    match visit.fault:
        case ReadFault.WRONG_RESOURCE:
            return shown | {"id": part_id(prefix, f"another {shown['id']}")}
        case ReadFault.UNKNOWN_WORD:
            return shown | {"status": UNKNOWN_WORD}
        case _:
            return shown


def _fits(visit: Visit, request: BillingRequest, wanted: dict[str, str]) -> bool:
    """Return whether a payment is as wanted; ISO dates compare as text."""
    shown = shown_payment(visit, request)
    date = str(shown["charge_date"])
    links = shown["links"]
    assert isinstance(links, dict)
    facts = {**shown, **links, "customer": customer_id(request)}
    return all(
        COMPARES[name](date, value) if name in COMPARES else facts.get(name) == value
        for name, value in wanted.items()
    )
