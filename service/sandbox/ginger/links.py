"""Payment links: each attempt to pay one is an order of its own, and all money is theirs.

Source: fact sheet ginger, section 12; the statuses of a link follow from its attempts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from service.sandbox.ginger.happenings import ENDINGS, What, has_unresolved_attempt
from service.sandbox.ginger.orders import order_word
from service.sandbox.ginger.transactions import stamp
from service.sandbox.ledger import Entry, Json, PaymentRequest, total
from service.sandbox.story import Beat
from service.sandbox.truth import Truth, truth_about

ATTEMPTS_MAX = 25  # source: section 12

# What reads repeat of a link's creation. Source: fact sheet ginger, section 12.
REPEATED_BY_LINKS = (
    "customer",
    "description",
    "expiration_period",
    "failure_url",
    "merchant_order_id",
    "payment_methods",
    "return_url",
    "webhook_url",
)

# What an attempt repeats of its link.
REPEATED = ("description", "merchant_order_id", "webhook_url")

REASONS = {
    "new": "Created, not visited yet",
    "processing": "An attempt is under way",
    "all_unsuccessful": "No attempt succeeded",
    "completed": "Completed",
    "cancelled": "Cancelled",
    "expired": "Expired",
}


class LinkWhat(StrEnum):
    """What may happen to a link itself; all else happens to its attempts."""

    ATTEMPTED = "attempted"  # subject is the attempt's order
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(slots=True, kw_only=True)
class PaymentLink(PaymentRequest):
    """A link and the orders that are its attempts, oldest first."""

    new_id: Callable[[], str]
    attempts: list[PaymentRequest] = field(default_factory=list)

    def open_attempt(self, at: datetime) -> PaymentRequest:
        """Make another order for the link's amount."""
        assert len(self.attempts) < ATTEMPTS_MAX, "a link takes no more attempts"
        as_created = {key: self.as_created[key] for key in REPEATED if key in self.as_created}
        attempt = PaymentRequest(
            id=self.new_id(),
            kind="order",
            amount=self.amount,
            currency=self.currency,
            created_at=self.record(LinkWhat.ATTEMPTED, at=at).at,
            reference=self.reference,
            as_created=as_created | {"related_payment_link_id": self.id},
            lag_ms=self.lag_ms,
        )
        self.attempts.append(attempt)
        return attempt


def attempted() -> Beat:
    """The payer opens the link and begins to pay: a new order."""

    def act(link: PaymentRequest, at: datetime) -> None:
        assert isinstance(link, PaymentLink)
        link.open_attempt(at)

    return Beat(act)


def on_attempt(beat: Beat, *, back: int = 1) -> Beat:
    """Something happens to an attempt: the newest one, or that many back."""

    def act(link: PaymentRequest, at: datetime) -> None:
        assert isinstance(link, PaymentLink)
        beat.act(link.attempts[-back], at)

    return Beat(act, beat.pauses)


def on_winner(beat: Beat) -> Beat:
    """Something happens to the attempt that brought the money, if one did."""

    def act(link: PaymentRequest, at: datetime) -> None:
        assert isinstance(link, PaymentLink)
        paid = [attempt for attempt in link.attempts if _received(attempt.entries)]
        if paid:
            beat.act(min(paid, key=lambda attempt: _paid_at(attempt.entries)), at)

    return Beat(act, beat.pauses)


def link_ends(what: LinkWhat) -> Beat:
    """The link is cancelled or expires, and with it every attempt that brought nothing."""

    def act(link: PaymentRequest, at: datetime) -> None:
        assert isinstance(link, PaymentLink)
        ended = link.record(what, at=at)
        for attempt in link.attempts:
            if order_word(attempt, attempt.entries) in ("new", "processing", "error"):
                attempt.record(What(what.value), at=ended.at)

    return Beat(act)


def link_json(link: PaymentLink, moment: datetime | None = None) -> Json:
    """Return a link as a read shows it: as of moment, else as it is."""
    word = link_word(link, moment)
    pictures = _pictures(link, moment)
    orders: dict[str, list[str]] = {}
    for attempt, entries in pictures:
        orders.setdefault(order_word(attempt, entries), []).append(attempt.id)
    shown = link.as_created | {
        "amount": link.amount,
        "created": _in_z(link.created_at),
        "currency": link.currency,
        "id": link.id,
        "orders": orders,
        "reason": REASONS[word],
        "status": word,
    }
    times = [entry.at for entry in _own(link, moment)]
    times += [entry.at for _, entries in pictures for entry in entries]
    if times:
        shown["modified"] = _in_z(max(times))
    if word == "completed":
        paid = [(_paid_at(entries), attempt) for attempt, entries in pictures if _received(entries)]
        came_at, winner = min(paid, key=lambda each: each[0])
        shown |= {"completed": stamp(came_at), "completed_order_id": winner.id}
    return shown


def link_word(link: PaymentLink, moment: datetime | None = None) -> str:
    """Return a link's status. Which attempt is the newest plays no part."""
    pictures = _pictures(link, moment)
    if any(_received(entries) for _, entries in pictures):
        return "completed"
    ending = next((e for e in _own(link, moment) if e.what is not LinkWhat.ATTEMPTED), None)
    if ending is not None:
        return ending.what.value
    words = {order_word(attempt, entries) for attempt, entries in pictures}
    if not words:
        return "new"
    return "processing" if words & {"new", "processing"} else "all_unsuccessful"


def truth_of_link(link: PaymentLink, *, account: str) -> Truth:
    """Return the canonical outcome of a link: sums over its attempts.

    Source: STATUSES.md, section 2, point 2. An attempt that failed can bring no money any more.
    """
    entries = [entry for attempt in link.attempts for entry in attempt.entries]
    received = _received(entries) + link.unseen
    taken_back = total(entries, What.CHARGED_BACK, What.REVERSED)
    refunded = total(entries, What.REFUNDED) + taken_back
    is_open = any(
        not attempt.entries or has_unresolved_attempt(attempt.entries) for attempt in link.attempts
    )
    ended = {entry.what.value for entry in link.entries} & {each.value for each in ENDINGS}
    if received and refunded >= received:
        status, final = "reversed", True
    elif received:
        status, final = ("paid" if received >= link.amount else "part_paid"), not is_open
    elif ended:
        status, final = ended.pop(), not is_open
    else:
        status, final = ("authorising" if is_open else "open"), False
    return truth_about(
        link,
        account,
        status=status,
        final=final,
        received=received,
        refunded=refunded,
        taken_back=taken_back,
    )


def _own(link: PaymentLink, moment: datetime | None) -> Sequence[Entry]:
    return link.entries if moment is None else link.entries_until(moment)


def _pictures(
    link: PaymentLink, moment: datetime | None
) -> list[tuple[PaymentRequest, Sequence[Entry]]]:
    """Return the attempts that there are at a moment, each with its entries until then."""
    if moment is None:
        return [(attempt, attempt.entries) for attempt in link.attempts]
    return [
        (attempt, attempt.entries_until(moment))
        for attempt in link.attempts
        if attempt.created_at <= moment
    ]


def _received(entries: Iterable[Entry]) -> int:
    return total(entries, What.RECEIVED)


def _paid_at(entries: Sequence[Entry]) -> datetime:
    """Return when the first money came."""
    return next(entry.at for entry in entries if entry.what is What.RECEIVED)


def _in_z(moment: datetime) -> str:
    """Return a link's own way of writing times. Source: section 12."""
    return f"{stamp(moment).removesuffix('+00:00')}Z"


def seen_until(link: PaymentLink, now: datetime) -> datetime | None:
    """Return as of when a read at that moment shows the link, None for the present."""
    return now - timedelta(milliseconds=link.lag_ms) if link.lag_ms else None
