"""GoCardless's lists: the events of a window, and all requests with their statuses.

Each is newest first. What cannot be read, or leads nowhere, is passed over and keeps nobody from
the others. Source: fact sheet gocardless, sections 2 (lists), 5 (events), 7 and 8 (pages).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from service.domain.request import Kind
from service.errors import Unreadable
from service.providers import Exchange, Listed, Page
from service.providers.gocardless.api import RESOURCES, Api
from service.providers.gocardless.shapes import (
    BillingRequest,
    EventItem,
    Payment,
    is_id,
    moment_in,
    shaped,
)
from service.providers.gocardless.webhook import TELLING

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


def events_page(api: Api, since: datetime, until: datetime, cursor: str | None) -> Exchange[Page]:
    """Read a page of the account's events of a window; its items are oldest first.

    Pages go from newer to older, and the last one has no successor. Source: section 7.
    """
    window = {"created_at[gte]": _in_z(since), "created_at[lt]": _in_z(until)}
    found, following = yield from api.page("events", window, cursor)
    events = [event for raw in found if (event := _event_in(raw)) is not None]
    events.reverse()  # of two with the same time, the one listed last is the older
    events.sort(key=lambda event: moment_in(event.created_at) or _LONG_AGO)
    items = (_listed_event(event) for event in events)
    return Page(tuple(item for item in items if item is not None), following)


def requests_page(api: Api, since: datetime, cursor: str | None) -> Exchange[Page]:
    """Read a page of the billing requests made since then; behind the last, of the payments.

    Only the list of payments can be asked from a time on; that of billing requests is left at the
    first one made before. A payment is never older than its request. The cursor says which list
    it goes on with, and where. Source: sections 2.1 and 2.2.
    """
    name, _, after = (cursor or RESOURCES[Kind.BILLING_REQUEST]).partition(" ")
    if name == RESOURCES[Kind.PAYMENT]:
        made_since = {"created_at[gte]": _in_z(since)}
        found, following = yield from api.page(name, made_since, after or None)
        return Page(_listed_payments(found), f"{name} {following}" if following else None)
    if name != RESOURCES[Kind.BILLING_REQUEST]:
        raise Unreadable("a cursor of another list")
    found, following = yield from api.page(name, {}, after or None)
    items, is_beyond = _listed_requests(found, since)
    goes_on = following is not None and not is_beyond
    return Page(items, f"{name} {following}" if goes_on else RESOURCES[Kind.PAYMENT])


def _event_in(raw: object) -> EventItem | None:
    try:
        return shaped(raw, EventItem)
    except Unreadable:
        return None


def _listed_event(event: EventItem) -> Listed | None:
    """Return what an event is about, whatever its action; None where it is nothing of ours."""
    try:
        subject = event.names if event.resource_type in TELLING else None
    except Unreadable:
        return None
    return subject and Listed(*subject, version=None, event_id=event.id)


def _listed_requests(found: Sequence[object], since: datetime) -> tuple[tuple[Listed, ...], bool]:
    """Return the requests made since then, and whether the list has come to older ones.

    What asks for no payment is no request for us.
    """
    items: list[Listed] = []
    for raw in found:
        try:
            asked = shaped(raw, BillingRequest)
            mark = asked.mark
        except Unreadable:
            continue
        made_at = moment_in(asked.created_at)
        if made_at is not None and made_at < since:
            return tuple(items), True
        if asked.payment_request is not None and is_id(Kind.BILLING_REQUEST, asked.id):
            items.append(Listed(Kind.BILLING_REQUEST, asked.id, version=None, mark=mark))
    return tuple(items), False


def _listed_payments(found: Sequence[object]) -> tuple[Listed, ...]:
    items: list[Listed] = []
    for raw in found:
        try:
            payment = shaped(raw, Payment)
        except Unreadable:
            continue
        if is_id(Kind.PAYMENT, payment.id):
            items.append(Listed(Kind.PAYMENT, payment.id, version=None, mark=payment.mark))
    return tuple(items)


def _in_z(moment: datetime) -> str:
    """Write a time as this API does. Source: section 1."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
