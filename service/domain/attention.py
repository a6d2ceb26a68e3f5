"""Codes that ask for a person: what raises them, and that nothing raises them twice.

A code is raised by a ground: the code together with the sums, or the picture, that show it. The
grounds are remembered for as long as they last, so that what a person has seen to stays gone over
further reads, and comes back with other sums. No ground holds a comma: that is how they are stored.
Source: CONTRACT.md, section 6.
"""

from collections.abc import Collection

from service.domain.sums import Sums


def raised(
    grounds: Collection[str], *, before: Collection[str], attention: Collection[str]
) -> frozenset[str]:
    """Return the codes that ask for a person now.

    attention are those that did so before, and stay until acknowledged; before are the grounds
    that raised codes already.
    """
    news = frozenset(grounds).difference(before)
    return frozenset(attention).union(map(code_of, news))


def code_of(ground: str) -> str:
    """Return the code of a ground such as "overpaid: 150 of 100"."""
    return ground.partition(":")[0]


def grounds_of(sums: Sums) -> frozenset[str]:
    """Return the codes that the sums of an order show, each with those sums, in minor units."""
    shown = []
    if sums.elsewhere:
        shown.append(f"currency_mismatch: {_received_elsewhere(sums)}")
    if sums.is_exceeded() or sums.is_kept_for_nothing():
        shown.append(f"overpaid: {sums.net} of {sums.amount or 0}")
    paid = sum(facts.received > 0 for facts in sums.counted)
    if sums.amount is None and not sums.withdrawn and paid > 1:
        shown.append(f"amount_unknown: {sums.received} in {paid} requests")
    if _asks_for_another_amount(sums):
        shown.append(f"amount_mismatch: {sums.counted[0].amount} for {sums.amount}")
    return frozenset(shown)


def _received_elsewhere(sums: Sums) -> str:
    """Return what came in each other currency; that it was given back is nothing new to see to."""
    received = {facts.currency: 0 for facts in sums.foreign if any(facts.money)}
    for facts in sums.foreign:
        if facts.currency in received:
            received[facts.currency] += facts.received
    return " ".join(f"{minor} {currency}" for currency, minor in sorted(received.items()))


def _asks_for_another_amount(sums: Sums) -> bool:
    """Return whether the order's only request asks for something else than was registered.

    Several requests may share one amount or replace each other, so that no single one proves a
    mismatch; there the sums speak.
    """
    if sums.amount is None or sums.unread or len(sums.counted) != 1:
        return False
    asked = sums.counted[0].amount
    return asked is not None and asked != sums.amount
