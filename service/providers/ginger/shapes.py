"""What we read of Ginger's answers; whatever else they hold may come and go.

Source: fact sheet ginger, sections 4 and 5 (order), 7 (linked orders), 11 (list), 12 (link).
"""

import re
from itertools import chain
from typing import Annotated, Final, TypeVar

import httpx
import msgspec

from service.domain.money import EXPONENTS
from service.domain.request import RelatedAs
from service.domain.strict_json import NotStrict, parse
from service.errors import Unreadable

T = TypeVar("T")
Minor = Annotated[int, msgspec.Meta(ge=0)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]

AUTHORISED_WORDS: Final = frozenset({"accepted", "captured"})  # transactions of older set-ups
CAPTURED_LATER: Final = frozenset({"manual", "delayed"})

REFERENCE_CHARACTERS_MAX: Final = 200
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.ASCII)


class Entry(msgspec.Struct, frozen=True):
    """An order in a list. Source: fact sheet ginger, section 11."""

    id: str
    modified: str | None = None


class Sign(msgspec.Struct, frozen=True):
    """What an order in a list shows of the account: whose it is, and who is told of it."""

    project_id: str | None = None
    flags: frozenset[str] | None = None
    webhook_url: str | None = None


class Methods(msgspec.Struct, frozen=True):
    """The payment methods of an account, each with what it can be paid in."""

    payment_methods: dict[str, object]


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
    related_payment_link_id: str | None = None
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
        return checked_id(self.id)

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
        return checked_id(original_id)

    @property
    def gives_back(self) -> bool:
        """Whether it is a counter-movement and never income."""
        return self.original_id is not None or self.has_flag("is-refund")

    @property
    def payment_link_id(self) -> str | None:
        """The link that this order is an attempt of, None where the brand's id is no UUID.

        Such a link we could not ask for: then the order stands for itself.
        """
        return id_in(self.related_payment_link_id)

    @property
    def linked(self) -> dict[str, RelatedAs]:
        """The orders that give or take back from this one; named twice, it counts once."""
        ids_as: dict[RelatedAs, tuple[str, ...] | None] = {
            "refund": self.refund_orders,
            "charge_back": self.chargeback_orders,
            "reversal": self.reversal_orders,
        }
        return {checked_id(one): name for name, ids in ids_as.items() for one in ids or ()}

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


class Link(msgspec.Struct, frozen=True):
    """A payment link. It names its attempts, grouped by a status that they once had."""

    id: str
    amount: Minor
    currency: str
    status: Word
    created: str
    modified: str | None = None
    project_id: str | None = None
    completed_order_id: str | None = None
    orders: dict[str, tuple[str, ...]] | None = None

    def __post_init__(self) -> None:
        if self.currency not in EXPONENTS:
            raise ValueError("unknown currency")

    @property
    def changed(self) -> str:
        """When it last changed; a new one may not say."""
        return self.modified or self.created

    @property
    def attempt_ids(self) -> tuple[str, ...]:
        """The ids of all attempts, each once, those that are said to have won in front.

        The groups prove nothing: the link may lag behind its orders.
        """
        groups = self.orders or {}
        winner = (self.completed_order_id,) if self.completed_order_id else ()
        named = (*winner, *groups.get("completed", ()), *chain.from_iterable(groups.values()))
        return tuple(dict.fromkeys(checked_id(order_id) for order_id in named))


def is_id(text: str) -> bool:
    """Return whether text is an id in its one spelling, in lower case."""
    return _UUID.match(text) is not None


def id_in(value: object) -> str | None:
    """Return an id in its one spelling, None for anything else."""
    return value.lower() if isinstance(value, str) and is_id(value.lower()) else None


def checked_id(text: str) -> str:
    """Return an id in its one spelling. Raises Unreadable."""
    found = id_in(text)
    if found is None:
        raise Unreadable("not an id")
    return found


def reference_in(raw: object, path: str) -> str | None:
    """Return the text at a path such as "extra.erp_document", None unless fit to be a reference."""
    for name in path.split("."):
        raw = raw.get(name) if isinstance(raw, dict) else None
    if not isinstance(raw, str) or not raw.strip() or not raw.isprintable():
        return None
    return raw if len(raw) <= REFERENCE_CHARACTERS_MAX else None


def parsed(response: httpx.Response) -> object:
    """Return an answer's JSON. Raises Unreadable."""
    try:
        return parse(response.content)
    except NotStrict as error:
        raise Unreadable(str(error)) from error


def shaped(raw: object, shape: type[T]) -> T:
    """Return raw as shape; fields that shape does not name are ignored. Raises Unreadable."""
    try:
        return msgspec.convert(raw, shape)
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from error
