"""Ginger: what a call is about, what the read of an order or link comes to, what a list holds.

Webhook   unsigned, names an order that changed: a hint, whatever else it says; none for links
API       GET /v1/orders/{id}/, HTTP Basic with the key as user name, minor units
          GET /v1/paymentlinks/{id}/, then each attempt: an order
List      GET /v1/orders/ by time of creation: a plain array without transactions
Calls     an order 1, a link 1 and 1 for each attempt, at most ATTEMPTS_MAX; 1 more where
          only details tell what was captured, where refunds are not named, and for each
          refund or charge-back, at most CHILDREN_MAX in all
Source    fact sheet ginger, sections 4 and 5 (shapes), 7 to 9 (linked orders, verdict),
          11 (list), 12 (link), 13 (webhook)
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from service.domain.event import Call, Event, EventVerdict
from service.domain.request import (
    Answer,
    BelongsTo,
    Facts,
    Kind,
    NotOurs,
    Unmapped,
)
from service.domain.status import Status
from service.domain.strict_json import NotStrict, parse
from service.errors import Malformed, NotFoundThere, Unreadable
from service.providers import AccountContext, Exchange, Finding, Listed, Page
from service.providers.ginger.api import Api
from service.providers.ginger.check import findings
from service.providers.ginger.given_back import Back, add_up, no_less_than_known
from service.providers.ginger.links import (
    LINK_WORDS,
    Attempt,
    Attempts,
    check_attempt,
    observation_of_link,
)
from service.providers.ginger.moments import in_z, microseconds_of, moment_of
from service.providers.ginger.orders import observation_of
from service.providers.ginger.shapes import Link, Order, checked_id, id_in, is_id, reference_in
from service.providers.ginger.verdict import WORDS, asks_for_money, judge, unmapped_word
from service.settings import Secret, Section

HINTS: Final = frozenset({"status_changed", "transaction_status_changed"})
# A call each. 1 + 25 + 10 calls take some 7 s at 5 a second; an exchange has 15 s.
ATTEMPTS_MAX: Final = 25  # source: section 12
CHILDREN_MAX: Final = 10
SLICE: Final = timedelta(days=1)  # source: section 11, and so the overlap
OVERLAP: Final = timedelta(seconds=1)


class GingerKeys(Section):
    """The account's own keys. Without project_ids every project of the key is ours."""

    api_base: str
    api_key: Secret
    project_ids: tuple[str, ...] = ()


class Ginger:
    """Implements Provider, SendsWebhooks, HasList and ChecksAccount."""

    kinds = frozenset({Kind.ORDER, Kind.PAYMENT_LINK})
    body_bytes_max = 65_536
    window_max = SLICE

    def __init__(self, keys: GingerKeys, context: AccountContext) -> None:
        self._api = Api(keys.api_base, keys.api_key.reveal())
        self._project_ids = frozenset(project_id.lower() for project_id in keys.project_ids)
        self._context = context
        # What the account says otherwise than the table, whether or not that was merged in.
        words = context.words.items()
        self._overrides = {word: status for word, status in words if WORDS.get(word) != status}
        self._link_overrides = {
            word: status for word, status in words if LINK_WORDS.get(word) != status
        }

    def knows(self, kind: Kind, provider_id: str) -> bool:
        """An id has one spelling, in lower case, so that a request has one row."""
        return kind in self.kinds and is_id(provider_id)

    def verify(self, call: Call) -> Sequence[Event]:
        try:
            hint = parse(call.body)
        except NotStrict as error:
            raise Malformed(str(error)) from error
        if not isinstance(hint, dict):
            raise Malformed("expected an object")
        event, project_id = hint.get("event"), hint.get("project_id")
        if not isinstance(event, str) or not event:
            raise Malformed("expected text in event")
        if event not in HINTS:
            return [_set_aside("unknown_event")]
        order_id = id_in(hint.get("order_id"))
        if order_id is None:
            raise Malformed("expected a UUID in order_id")
        if "project_id" in hint and not isinstance(project_id, str):
            raise Malformed("expected text in project_id")
        if project_id is not None and self._is_foreign(project_id):
            return [_set_aside("foreign_project")]
        return [Event(Kind.ORDER, order_id, claims=_claimed(hint.get("order_status")))]

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        if not self.knows(kind, provider_id):
            raise Unreadable("not an id")
        if kind is Kind.PAYMENT_LINK:
            return (yield from self._read_link(provider_id, known))
        return (yield from self._read_order(provider_id, known))

    def list_page(self, since: datetime, until: datetime, cursor: str | None) -> Exchange[Page]:
        """Read the orders created in one slice; cursor is the time where the slice starts."""
        start = moment_of(cursor) if cursor else since
        end = min(start + SLICE, until)
        entries = yield from self._api.created(start, end)
        listed = {checked_id(entry.id): entry.modified for entry in entries}
        items = tuple(
            Listed(Kind.ORDER, order_id, microseconds_of(modified) if modified else None)
            for order_id, modified in listed.items()
        )
        return Page(items, None if end >= until else in_z(end - OVERLAP))

    def check(self, webhook_url: str | None) -> Exchange[tuple[Finding, ...]]:
        return findings(
            self._api,
            project_ids=self._project_ids,
            live=self._context.live,
            webhook_url=webhook_url,
        )

    def _read_order(self, order_id: str, known: Facts | None) -> Exchange[Answer]:
        raw, order = yield from self._api.order(order_id)
        elsewhere = self._elsewhere(order)
        if elsewhere is None:
            raw, order = yield from self._with_details(raw, order)
            elsewhere = self._elsewhere(order)
        if elsewhere is not None:
            return elsewhere
        if (unmapped := self._unmapped(order)) is not None:
            return unmapped
        verdict = judge(order, self._overrides.get(order.status))
        back = yield from self._back(order, children_max=CHILDREN_MAX)
        return observation_of(
            order, verdict, no_less_than_known(back, known), reference=self._reference_in(raw)
        )

    def _read_link(self, link_id: str, known: Facts | None) -> Exchange[Answer]:
        """Read a link and its attempts, each by a call of its own. Source: section 12.

        A link that names no project is ours if its attempts are.
        """
        raw, link = yield from self._api.link(link_id)
        if link.project_id is not None and self._is_foreign(link.project_id):
            return NotOurs("foreign_project")
        override = self._link_overrides.get(link.status)
        if override is None and link.status not in LINK_WORDS:
            return Unmapped(link.status)
        orders = yield from self._attempts(link)
        for order in orders.values():
            if (answer := self._not_ours(order) or self._unmapped(order)) is not None:
                return answer
            check_attempt(order, link)
        incoming = [order for order in orders.values() if not order.gives_back]
        unread = tuple(order_id for order_id in link.attempt_ids if order_id not in orders)
        attempts = Attempts((yield from self._judged(incoming)), unread)
        return observation_of_link(
            link, attempts, override=override, known=known, reference=self._reference_in(raw)
        )

    def _attempts(self, link: Link) -> Exchange[dict[str, Order]]:
        """Read those of a link's attempts that can be found, at most ATTEMPTS_MAX."""
        found = {}
        for order_id in link.attempt_ids[:ATTEMPTS_MAX]:
            try:
                raw, order = yield from self._api.order(order_id)
                _, found[order_id] = yield from self._with_details(raw, order)
            except NotFoundThere:
                continue
        return found

    def _judged(self, orders: Sequence[Order]) -> Exchange[tuple[Attempt, ...]]:
        """Judge attempts, which have CHILDREN_MAX calls for what was given back among them."""
        attempts, calls_left = [], CHILDREN_MAX
        for order in orders:
            verdict = judge(order, self._overrides.get(order.status))
            back = yield from self._back(order, children_max=calls_left)
            calls_left -= len(order.linked) if len(order.linked) <= calls_left else 0
            attempts.append(Attempt(order, verdict, back))
        return tuple(attempts)

    def _with_details(self, raw: object, order: Order) -> Exchange[tuple[object, Order]]:
        """Read an order again where only `amount_details` can tell what was captured."""
        asks = asks_for_money(order.status, self._overrides.get(order.status))
        if asks and order.lacks_details:
            return (yield from self._api.order(order.checked_id, with_details=True))
        return raw, order

    def _back(self, order: Order, *, children_max: int) -> Exchange[Back]:
        """Read what was given or taken back.

        The total at the original may count what is still under way, so it only steps in where
        the orders that did it are not named, are more than children_max, or cannot be found.
        """
        linked = order.linked
        found = yield from self._api.orders(linked if len(linked) <= children_max else ())
        is_complete = len(found) == len(linked)
        if order.hides_refunds:
            refunds = yield from self._api.refunds(order.checked_id)
            is_complete = is_complete and refunds is not None
            found |= refunds or {}
            linked |= dict.fromkeys(refunds or (), "refund")
        return add_up(order, found, linked, is_complete=is_complete)

    def _elsewhere(self, order: Order) -> BelongsTo | NotOurs | None:
        """Return where an order belongs that is no request of ours, None for a request.

        A refund belongs to its original and that, if it is an attempt, to its link, which belongs
        to nothing.
        """
        if (not_ours := self._not_ours(order)) is not None:
            return not_ours
        if order.original_id is not None:
            return BelongsTo(Kind.ORDER, order.original_id)
        if order.payment_link_id is not None:
            return BelongsTo(Kind.PAYMENT_LINK, order.payment_link_id)
        return NotOurs("refund_without_original") if order.has_flag("is-refund") else None

    def _not_ours(self, order: Order) -> NotOurs | None:
        if self._project_ids and order.project_id is None:
            raise Unreadable("no project_id")
        if order.project_id is not None and self._is_foreign(order.project_id):
            return NotOurs("foreign_project")
        return NotOurs("test_order") if self._context.live and order.is_test else None

    def _unmapped(self, order: Order) -> Unmapped | None:
        word = None if order.status in self._overrides else unmapped_word(order)
        return None if word is None else Unmapped(word)

    def _is_foreign(self, project_id: str) -> bool:
        return bool(self._project_ids) and project_id.lower() not in self._project_ids

    def _reference_in(self, raw: object) -> str | None:
        return reference_in(raw, self._context.reference_from or "merchant_order_id")


def _claimed(word: object) -> Status | None:
    """Return the status that a call speaks of; most brands name none. Source: section 13."""
    return WORDS.get(word) if isinstance(word, str) else None


def _set_aside(reason: str) -> Event:
    return Event(None, None, verdict=EventVerdict.SET_ASIDE, reason=reason)
