"""Ginger (EMS Online, ING Checkout, Cost+ and other brands of one platform): orders.

Webhook   unsigned, names an order that changed: a hint, whatever else it says
API       GET /v1/orders/{id}/, HTTP Basic with the key as user name, minor units
List      GET /v1/orders/ by time of creation: a plain array without transactions
Source    fact sheet ginger, sections 4 and 5 (shapes), 7 to 9 (linked orders, verdict),
          11 (list), 13 (webhook)
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeVar

import httpx
import msgspec

from service.domain.event import Call, Event, EventVerdict
from service.domain.money import EXPONENTS
from service.domain.request import (
    Answer,
    BelongsTo,
    Facts,
    Kind,
    NotOurs,
    Observation,
    Related,
    RelatedAs,
    Unmapped,
)
from service.domain.status import RANK, Status, words_of
from service.domain.strict_json import NotStrict, parse
from service.errors import Malformed, NotFoundThere, Unreadable
from service.providers import AccountContext, Exchange, Listed, Page
from service.settings import Secret, Section

T = TypeVar("T")
Minor = Annotated[int, msgspec.Meta(ge=0)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]

# Source: fact sheet ginger, sections 8.1, 8.2 and 13.1.
WORDS: Final = words_of("ginger", "order")
MONEY_WORDS: Final = frozenset({"completed", "see-transactions"})
AUTHORISED_WORDS: Final = frozenset({"accepted", "captured"})  # transactions of older set-ups
UNPAID_WORDS: Final = frozenset({"error", "declined", "cancelled", "expired"})
MOVING_WORDS: Final = frozenset({"new", "pending", "processing", "completed"})
TRANSACTION_WORDS: Final = MOVING_WORDS | AUTHORISED_WORDS | UNPAID_WORDS
HINTS: Final = frozenset({"status_changed", "transaction_status_changed"})
MONEY_STATUSES: Final = frozenset({Status.PART_PAID, Status.PAID, Status.SETTLED})
ENDS: Final = frozenset(status for status, rank in RANK.items() if rank > 5) - {Status.FAILED}
CAPTURED_LATER: Final = frozenset({"manual", "delayed"})
AWAITED_METHODS: Final = frozenset({"bank-transfer", "sepa-debit-transfer"})

CHILDREN_MAX: Final = 10  # a call each; at 5 calls a second far below an exchange's 25 s
SLICE: Final = timedelta(days=1)  # source: section 11, and so the overlap
OVERLAP: Final = timedelta(seconds=1)
REFERENCE_CHARACTERS_MAX: Final = 200
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:]{8}(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class GingerKeys(Section):
    """The account's own keys. Without project_ids every project of the key is ours."""

    api_base: str
    api_key: Secret
    project_ids: tuple[str, ...] = ()


class Ginger:
    """Implements Provider, SendsWebhooks and HasList."""

    kinds = frozenset({Kind.ORDER})
    body_bytes_max = 65_536

    def __init__(self, keys: GingerKeys, context: AccountContext) -> None:
        self._orders_url = f"{keys.api_base.rstrip('/')}/v1/orders/"
        login = base64.b64encode(f"{keys.api_key.reveal()}:".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}", "Accept": "application/json"}
        self._project_ids = frozenset(project_id.lower() for project_id in keys.project_ids)
        self._context = context
        # What the account says otherwise than the table, whether or not that was merged in.
        self._overrides = {
            word: status for word, status in context.words.items() if WORDS.get(word) != status
        }

    def knows(self, kind: Kind, provider_id: str) -> bool:
        """An id has one spelling, in lower case, so that an order has one row."""
        return kind is Kind.ORDER and _UUID.match(provider_id) is not None

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
        order_id = _id_in(hint.get("order_id"))
        if order_id is None:
            raise Malformed("expected a UUID in order_id")
        if "project_id" in hint and not isinstance(project_id, str):
            raise Malformed("expected text in project_id")
        if project_id is not None and self._is_foreign(project_id):
            return [_set_aside("foreign_project")]
        return [Event(Kind.ORDER, order_id)]

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        if not self.knows(kind, provider_id):
            raise Unreadable("not the id of an order")
        raw, order = yield from self._order(provider_id)
        elsewhere = self._elsewhere(order)
        asks = asks_for_money(order.status, self._overrides.get(order.status))
        if elsewhere is None and asks and order.lacks_details:
            raw, order = yield from self._order(provider_id, "?fields%5B%5D=amount_details")
            elsewhere = self._elsewhere(order)
        if elsewhere is not None:
            return elsewhere
        if (word := self._unmapped_in(order)) is not None:
            return Unmapped(word)
        verdict = judge(order, self._overrides.get(order.status))
        back = yield from self._back(order, known)
        return Observation(
            _facts(order, verdict, back),
            version=microseconds_of(order.modified),
            reference=_reference_in(raw, self._context.reference_from or "merchant_order_id"),
            occurred_at=_occurred_at(order, verdict, back),
            related=back.related,
            attention=verdict.attention | back.attention,
        )

    def list_page(self, since: datetime, until: datetime, cursor: str | None) -> Exchange[Page]:
        """Read the orders created in one slice; cursor is the time where the slice starts."""
        start = moment_of(cursor) if cursor else since
        end = min(start + SLICE, until)
        window = {"created_since": _in_z(start), "created_until": _in_z(end)}
        request = httpx.Request("GET", self._orders_url, params=window, headers=self._headers)
        entries = _shaped(_parsed((yield request)), list[Entry])
        listed = {_checked_id(entry.id): entry.modified for entry in entries}
        items = tuple(
            Listed(Kind.ORDER, order_id, microseconds_of(modified) if modified else None)
            for order_id, modified in listed.items()
        )
        return Page(items, None if end >= until else _in_z(end - OVERLAP))

    def _order(self, order_id: str, query: str = "") -> Exchange[tuple[object, "Order"]]:
        """Read one order; return it also as it came. The caller has checked order_id's shape."""
        url = f"{self._orders_url}{order_id}/{query}"
        raw = _parsed((yield httpx.Request("GET", url, headers=self._headers)))
        order = _shaped(raw, Order)
        if order.id.lower() != order_id:
            raise Unreadable("answer for another order")
        return raw, order

    def _elsewhere(self, order: "Order") -> BelongsTo | NotOurs | None:
        """Return where an order belongs that is no request of ours, None for a request."""
        if self._project_ids and order.project_id is None:
            raise Unreadable("no project_id")
        if order.project_id is not None and self._is_foreign(order.project_id):
            return NotOurs("foreign_project")
        if self._context.live and order.is_test:
            return NotOurs("test_order")
        if order.original_id is not None:
            return BelongsTo(Kind.ORDER, order.original_id)
        return NotOurs("refund_without_original") if order.has_flag("is-refund") else None

    def _unmapped_in(self, order: "Order") -> str | None:
        """Return the first word that decides the status and that neither table knows."""
        if order.status in self._overrides:
            return None
        if order.status == "see-transactions":
            words = [transaction.status for transaction in order.transactions or ()]
            return next((word for word in words if word not in TRANSACTION_WORDS), None)
        return None if order.status in WORDS else order.status

    def _is_foreign(self, project_id: str) -> bool:
        return bool(self._project_ids) and project_id.lower() not in self._project_ids

    def _back(self, order: "Order", known: Facts | None) -> Exchange["Back"]:
        """Read what was given or taken back: each time by an order with a status of its own.

        The total at the original may count what is still under way, so it only steps in where
        those orders are not named, are more than CHILDREN_MAX, or cannot be found.
        """
        linked = order.linked
        found = yield from self._children(linked if len(linked) <= CHILDREN_MAX else ())
        complete = len(found) == len(linked)
        if order.hides_refunds:
            refunds = yield from self._refunds(order.checked_id)
            complete = complete and refunds is not None
            found |= refunds or {}
            linked |= dict.fromkeys(refunds or (), "refund")
        return _add_up(order, found, linked, known, complete=complete)

    def _children(self, order_ids: Iterable[str]) -> Exchange["dict[str, Order]"]:
        """Read those of the orders that can be found."""
        found = {}
        for order_id in order_ids:
            try:
                _, found[order_id] = yield from self._order(order_id)
            except NotFoundThere:
                continue
        return found

    def _refunds(self, order_id: str) -> Exchange["dict[str, Order] | None"]:
        """Read the list of an order's refunds, None where there is none: the path is assumed."""
        url = f"{self._orders_url}{order_id}/refunds/"
        try:
            response = yield httpx.Request("GET", url, headers=self._headers)
        except NotFoundThere:
            return None
        return {child.checked_id: child for child in _shaped(_parsed(response), list[Order])}


class Entry(msgspec.Struct, frozen=True):
    """An order in a list. Source: section 11."""

    id: str
    modified: str | None = None


class Details(msgspec.Struct, frozen=True):
    """`amount_details`, sent only when asked for."""

    captured: Minor
    capturable: Minor
    voided: Minor = 0
    refunded: Minor | None = None


class Transaction(msgspec.Struct, frozen=True):
    """An attempt to pay, or what became of an authorisation. Source: section 5."""

    status: Word
    amount: Minor | None = None
    currency: str | None = None
    credit_debit: str | None = None
    completed: str | None = None
    balance: str | None = None
    payment_method: str | None = None
    transaction_type: str | None = None
    capture_mode: str | None = None
    is_capturable: bool | None = None
    is_fully_captured: bool | None = None

    @property
    def is_authorisation(self) -> bool:
        """Whether it reserves money and brings none; without a type, other fields tell."""
        if self.transaction_type is not None:
            return self.transaction_type == "authorization"
        awaits_capture = self.is_capturable or self.capture_mode in CAPTURED_LATER
        return bool(awaits_capture) or self.status in AUTHORISED_WORDS

    @property
    def is_void(self) -> bool:
        return "void" in (self.transaction_type or "")


class Order(msgspec.Struct, frozen=True):
    """What we read of an order; whatever else it has may come and go. Source: section 4."""

    id: str
    amount: Minor
    currency: str
    status: Word
    modified: str
    project_id: str | None = None
    completed: str | None = None
    capture_mode: str | None = None
    flags: frozenset[str] | None = None
    transactions: tuple[Transaction, ...] | None = None
    amount_details: Details | None = None
    refunded_amount: Minor | None = None
    refund_of_order_id: str | None = None
    chargeback_of_order_id: str | None = None
    reversal_of_order_id: str | None = None
    refund_orders: tuple[str, ...] | None = None
    chargeback_orders: tuple[str, ...] | None = None
    reversal_orders: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.currency not in EXPONENTS:
            raise ValueError("unknown currency")

    def has_flag(self, *names: str) -> bool:
        return not frozenset(names).isdisjoint(self.flags or ())

    @property
    def is_test(self) -> bool:
        return self.has_flag("is-test") or any(
            transaction.balance == "test" for transaction in self.transactions or ()
        )

    @property
    def checked_id(self) -> str:
        return _checked_id(self.id)

    @property
    def original_id(self) -> str | None:
        """The order that this one gives or takes back from."""
        original_id = (
            self.refund_of_order_id or self.chargeback_of_order_id or self.reversal_of_order_id
        )
        if original_id is None:
            return None
        if original_id.lower() == self.id.lower():
            raise Unreadable("an order that gives itself back")
        return _checked_id(original_id)

    @property
    def linked(self) -> dict[str, RelatedAs]:
        """The orders that give or take back from this one; named twice, it counts once."""
        ids_as: dict[RelatedAs, tuple[str, ...] | None] = {
            "refund": self.refund_orders,
            "charge_back": self.chargeback_orders,
            "reversal": self.reversal_orders,
        }
        return {_checked_id(one): name for name, ids in ids_as.items() for one in ids or ()}

    @property
    def refunded_total(self) -> int | None:
        if self.refunded_amount is None and self.amount_details is not None:
            return self.amount_details.refunded
        return self.refunded_amount

    @property
    def hides_refunds(self) -> bool:
        """Whether there are refunds, but neither their ids nor their total."""
        named = "refund" in self.linked.values() or self.refunded_total is not None
        return self.has_flag("has-refunds") and not named

    @property
    def credits(self) -> list[Transaction]:
        """The transactions towards the payee, voids left out, whatever became of them."""
        return [
            transaction
            for transaction in self.transactions or ()
            if transaction.credit_debit == "credit" and not transaction.is_void
        ]

    @property
    def authorisations(self) -> list[Transaction]:
        won = AUTHORISED_WORDS | {"completed"}
        return [one for one in self.credits if one.status in won and one.is_authorisation]

    @property
    def payments(self) -> list[Transaction]:
        return [
            one for one in self.credits if one.status == "completed" and not one.is_authorisation
        ]

    @property
    def lacks_details(self) -> bool:
        """Whether only `amount_details` can tell how much was captured."""
        return self.amount_details is None and (
            bool(self.authorisations)
            or self.has_flag("has-captures", "has-voids")
            or self.capture_mode in CAPTURED_LATER
            or (self.status == "completed" and not self.payments)
        )


@dataclass(frozen=True, slots=True)
class Takings:
    """What an order brought, in minor units, and whether it can still bring more."""

    received: int = 0
    capturable: bool = False
    authorised: bool = False
    voided: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    status: Status
    final: bool
    received: int
    attention: frozenset[str]


@dataclass(frozen=True, slots=True)
class Back:
    """What was given or taken back, in minor units, and the orders that did it."""

    refunded: int
    taken_back: int
    related: tuple[Related, ...]
    completed: tuple[str, ...]
    attention: frozenset[str]


def asks_for_money(word: str, override: Status | None) -> bool:
    return word in MONEY_WORDS if override is None else override in MONEY_STATUSES


def judge(order: Order, override: Status | None = None) -> Verdict:
    """Say what an order's word and its transactions come to. Source: section 8.4.

    override is the account's own status for the order's word. Raises Unreadable where the
    answer contradicts itself: missing data is no verdict.
    """
    takings = takings_of(order) if asks_for_money(order.status, override) else Takings()
    status = override or _status(order, takings)
    no_more = order.status == "completed" and not takings.capturable
    lapsed = takings.authorised and not takings.voided and status is Status.CANCELLED
    unpaid = takings.received == 0 and order.status not in ("new", "processing")
    attention = {
        "authorisation_lapsed": lapsed,
        "more_than_asked": takings.received > order.amount,
        "declined": order.status == "declined",
        "money_in_unpaid_order": unpaid and bool(order.payments),
    }
    return Verdict(
        status,
        final=status in ENDS or (status is Status.PART_PAID and no_more),
        received=takings.received,
        attention=frozenset(code for code, applies in attention.items() if applies),
    )


def takings_of(order: Order) -> Takings:
    """Add up what was captured, else the completed payments; position in the list means nothing."""
    authorisations, payments, details = order.authorisations, order.payments, order.amount_details
    voided = order.has_flag("has-voids") or any(
        one.is_void and one.status == "completed" for one in order.transactions or ()
    )
    if details and (authorisations or details.captured or details.capturable or details.voided):
        return Takings(
            details.captured,
            capturable=details.capturable > 0,
            authorised=True,
            voided=voided or details.voided > 0,
        )
    received = _sum(payments, order.currency)
    if not authorisations:
        if voided:
            raise Unreadable("a void, but not of which authorisation")
        return Takings(received)
    if not received:
        received = _sum([one for one in authorisations if one.is_fully_captured], order.currency)
    captured = order.has_flag("has-captures") or any(
        one.status == "captured" for one in authorisations
    )
    if captured and not received:
        raise Unreadable("captured, but not how much")
    capturable = any(one.is_capturable is not False for one in authorisations)
    return Takings(received, capturable, authorised=True, voided=voided)


def _sum(transactions: Sequence[Transaction], currency: str) -> int:
    """Add amounts of one currency; an amount in another is not converted but Unreadable."""
    total = 0
    for transaction in transactions:
        if transaction.amount is None or transaction.currency != currency:
            raise Unreadable("a completed transaction without amount or in another currency")
        total += transaction.amount
    return total


def _status(order: Order, takings: Takings) -> Status:
    if takings.received:
        return Status.PAID if takings.received >= order.amount else Status.PART_PAID
    if takings.capturable:
        return Status.ACCEPTED
    match order.status:
        case "completed" if takings.authorised:
            return Status.CANCELLED
        case "completed":
            raise Unreadable("completed without a completed transaction")
        case "new":
            return _motion(order) or (Status.OPEN if order.transactions else Status.CREATED)
        case "processing":
            return _motion(order) or Status.PROCESSING
        case "see-transactions":
            words = {transaction.status for transaction in order.transactions or ()}
            all_failed = words and words <= UNPAID_WORDS
            return _motion(order) or (Status.FAILED if all_failed else Status.OPEN)
        case word:
            return WORDS[word]


def _motion(order: Order) -> Status | None:
    """Return how far the running attempts have come, None when none runs."""
    pending = [one for one in order.credits if one.status == "pending"]
    if any(one.status == "processing" for one in order.credits):
        return Status.PROCESSING
    if any(one.payment_method not in AWAITED_METHODS for one in pending):
        return Status.AUTHORISING
    return Status.OPEN if pending else None


def _add_up(
    order: Order,
    found: Mapping[str, Order],
    linked: Mapping[str, RelatedAs],
    known: Facts | None,
    *,
    complete: bool,
) -> Back:
    """Count what is completed; where some cannot be read, no less than is known otherwise."""
    given = {order_id: child for order_id, child in found.items() if _is_done(child, order)}
    taken = [child for order_id, child in given.items() if linked[order_id] != "refund"]
    refunded = sum(child.amount for child in given.values())
    taken_back = sum(child.amount for child in taken)
    is_guess = not complete and order.refunded_total is None
    if not complete or "refund" not in linked.values():
        refunded = max(refunded, order.refunded_total or 0)
    if not complete and known is not None:
        taken_back = max(taken_back, known.taken_back)
        refunded = max(refunded, taken_back, known.refunded if is_guess else 0)
    return Back(
        refunded,
        taken_back,
        related=tuple(Related(Kind.ORDER, order_id, as_) for order_id, as_ in linked.items()),
        completed=tuple(child.completed for child in given.values() if child.completed),
        attention=frozenset({"refund_unreadable"}) if is_guess else frozenset(),
    )


def _is_done(child: Order, order: Order) -> bool:
    """Return whether a refund, charge-back or reversal is completed itself."""
    if child.original_id not in (None, order.checked_id) or child.checked_id == order.checked_id:
        raise Unreadable("named at an order that it does not belong to")
    if child.currency != order.currency:
        raise Unreadable("given back in another currency")
    return child.status == "completed"


def _facts(order: Order, verdict: Verdict, back: Back) -> Facts:
    return Facts(
        status=verdict.status,
        final=verdict.final,
        currency=order.currency,
        amount=order.amount,
        received=verdict.received,
        refunded=back.refunded,
        taken_back=back.taken_back,
        booked=0,  # payouts are not part of this API
        provider_status=order.status,
    )


def _occurred_at(order: Order, verdict: Verdict, back: Back) -> datetime:
    """Return when the newest money moved, else when the order last changed."""
    paid = order.payments if verdict.received else []
    times = [*(one.completed for one in paid if one.completed), *back.completed]
    if not times and verdict.status is not Status.CANCELLED and order.completed:
        times = [order.completed]
    return max(moment_of(time) for time in times or [order.modified])


def _reference_in(raw: object, path: str) -> str | None:
    """Return the text at a path such as "extra.erp_document", None unless fit to be a reference."""
    for name in path.split("."):
        raw = raw.get(name) if isinstance(raw, dict) else None
    if not isinstance(raw, str) or not raw.strip() or not raw.isprintable():
        return None
    return raw if len(raw) <= REFERENCE_CHARACTERS_MAX else None


def moment_of(text: str) -> datetime:
    """Read a date-time with or without fraction and offset; naive is UTC. Raises Unreadable."""
    try:
        moment = datetime.fromisoformat(text) if _MOMENT.fullmatch(text) else None
        if moment is None:
            raise Unreadable("no date-time")
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise Unreadable("no date-time") from error


def microseconds_of(text: str) -> int:
    """Return a date-time as microseconds since 1970. Raises Unreadable."""
    return (moment_of(text) - _EPOCH) // timedelta(microseconds=1)


def _in_z(moment: datetime) -> str:
    """Write a time with Z: the + of an offset would need escaping in a query."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _id_in(value: object) -> str | None:
    """Return an order id in its one spelling, None for anything else."""
    if not isinstance(value, str):
        return None
    order_id = value.lower()
    return order_id if _UUID.match(order_id) else None


def _checked_id(text: str) -> str:
    order_id = _id_in(text)
    if order_id is None:
        raise Unreadable("not the id of an order")
    return order_id


def _set_aside(reason: str) -> Event:
    return Event(None, None, verdict=EventVerdict.SET_ASIDE, reason=reason)


def _parsed(response: httpx.Response) -> object:
    try:
        return parse(response.content)
    except NotStrict as error:
        raise Unreadable(str(error)) from error


def _shaped(raw: object, shape: type[T]) -> T:
    """Return raw as shape; fields that shape does not name are ignored. Raises Unreadable."""
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from error
