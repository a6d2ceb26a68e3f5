"""What an order's requests add up to, worked out by hand and the slow way.

From STATUSES.md, section 4: each rule with everything that the rules before it exclude written
out, so that two that fit, or none, would show.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from service.domain.order import Sibling
from service.domain.request import Direction, Facts

NONE = (0, 0, 0, 0)
# What a provider cannot mean, as received, refunded, taken back and booked.
MORE_BOOKED_THAN_CAME = (100, 0, 0, 101)
BACK_OF_NOTHING = (0, 10, 0, 0)
MORE_TAKEN_THAN_WENT = (100, 10, 11, 0)
UNSOUND = {MORE_BOOKED_THAN_CAME, BACK_OF_NOTHING, MORE_TAKEN_THAN_WENT}

UNDER_WAY = {"authorising", "accepted", "processing", "held"}


@dataclass(frozen=True)
class Expected:
    """What the page says of a combination; rules holds every one that fits."""

    rules: tuple[tuple[str, str], ...]
    sums: tuple[int, int, int, int]
    currency: str | None
    attention: frozenset[str]


def by_hand(
    requests: Sequence[Sibling],
    amount: int | None,
    currency: str | None,
    *,
    withdrawn: bool = False,
) -> Expected:
    """Add up and decide, the slow way."""
    incoming = [one for one in requests if one.direction is Direction.IN]
    unread = [one for one in incoming if one.facts is None]
    read = [one.facts for one in incoming if one.facts is not None]
    currency = currency or currency_by_hand(read)
    counted = [one for one in read if one.currency == currency]
    r = sum(one.received for one in counted)
    b = sum(one.refunded for one in counted)
    t = sum(one.taken_back for one in counted)
    k = sum(one.booked for one in counted)
    n = r - b
    foreign = any(one.currency != currency and one.money != NONE for one in read)
    unsound = any(one.money in UNSOUND for one in counted)
    return Expected(
        rules=(*conflicts(foreign, unsound),)
        if foreign or unsound
        else tuple(rules_by_hand(counted, bool(unread), amount, (r, n, t, k), withdrawn=withdrawn)),
        sums=(r, b, t, k),
        currency=currency,
        attention=attention_by_hand(counted, bool(unread), amount, n, foreign, withdrawn=withdrawn),
    )


def currency_by_hand(read: Sequence[Facts]) -> str | None:
    for money_first in (True, False):
        for currency in ("EUR", "USD"):
            if any(
                one.currency == currency and (one.money != NONE or not money_first) for one in read
            ):
                return currency
    return None


def conflicts(foreign: bool, unsound: bool) -> Iterator[tuple[str, str]]:
    if foreign:
        yield "conflicted", "money_in_another_currency"
    if unsound and not foreign:
        yield "conflicted", "numbers_contradict_each_other"


def rules_by_hand(
    counted: Sequence[Facts],
    unread: bool,
    amount: int | None,
    sums: tuple[int, int, int, int],
    *,
    withdrawn: bool,
) -> Iterator[tuple[str, str]]:
    """Every rule that fits numbers which agree; A, R, N, T and K as on the page."""
    r, n, t, k = sums
    keeping = {one.status.value for one in counted if one.received > one.refunded}
    if r > 0 and n <= 0 and t > 0:
        yield "reversed", "reversed_taken_back"
    if r > 0 and n <= 0 and t == 0:
        yield "refunded", "refunded_given_back"
    if r > 0 and n > 0:
        if withdrawn:
            yield "overpaid", "withdrawn_money_kept"
        elif amount is None:
            yield from known_only_by_discovery(keeping)
        else:
            yield from against_what_is_owed(amount, r, n, t, k)
    if r == 0:
        yield from without_money(counted, unread, withdrawn=withdrawn)


def known_only_by_discovery(keeping: set[str]) -> Iterator[tuple[str, str]]:
    if keeping == {"settled"}:
        yield "settled", "amount_unknown_all_settled"
    if keeping in ({"paid"}, {"paid", "settled"}):
        yield "paid", "amount_unknown_all_paid"
    if keeping - {"paid", "settled"}:
        yield "part_paid", "amount_unknown_part_paid"


def against_what_is_owed(a: int, r: int, n: int, t: int, k: int) -> Iterator[tuple[str, str]]:
    if n > a:
        yield "overpaid", "net_exceeds_amount"
    if n == a and k == r:
        yield "settled", "net_equals_amount_all_booked"
    if n == a and k != r:
        yield "paid", "net_equals_amount"
    if n < a <= r and t > 0:
        yield "part_refunded", "part_taken_back"
    if n < a <= r and t == 0:
        yield "part_refunded", "part_given_back"
    if n < a and r < a:
        yield "part_paid", "net_below_amount"


def without_money(
    counted: Sequence[Facts], unread: bool, *, withdrawn: bool
) -> Iterator[tuple[str, str]]:
    under_way = any(one.status.value in UNDER_WAY for one in counted)
    alive = unread or any(not one.final for one in counted)
    nothing = not counted and not unread
    if under_way:
        yield "processing", "no_money_under_way"
    if withdrawn and not under_way and alive:
        yield "unpaid", "withdrawn_still_open"
    if withdrawn and not under_way and not alive:
        yield "closed", "withdrawn_nothing_to_come"
    if not withdrawn and not under_way and nothing:
        yield "unpaid", "no_request"
    if not withdrawn and not under_way and not nothing and alive:
        yield "unpaid", "no_money_still_open"
    if not withdrawn and not under_way and not nothing and not alive:
        yield "closed", "no_money_all_ended"


def attention_by_hand(
    counted: Sequence[Facts],
    unread: bool,
    amount: int | None,
    n: int,
    foreign: bool,
    *,
    withdrawn: bool,
) -> frozenset[str]:
    codes = set()
    if withdrawn:
        return frozenset(["currency_mismatch"] * foreign + ["overpaid"] * (n > 0))
    if foreign:
        codes.add("currency_mismatch")
    if amount is not None and n > amount:
        codes.add("overpaid")
    if amount is None and len([one for one in counted if one.received]) >= 2:
        codes.add("amount_unknown")
    if amount not in (None, 100) and len(counted) == 1 and not unread:
        codes.add("amount_mismatch")  # all of them ask for 100
    return frozenset(codes)


def owed(requests: Iterable[Sibling]) -> set[int]:
    """Amounts below, at and above what is kept, at what came, and above that."""
    euros = [
        one.facts
        for one in requests
        if one.facts and one.facts.currency == "EUR" and one.direction is Direction.IN
    ]
    came = sum(one.received for one in euros)
    kept = came - sum(one.refunded for one in euros)
    return {max(1, kept + more) for more in (-10, 0, 10)} | {max(1, came), came + 10}
