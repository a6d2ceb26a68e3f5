"""What must hold at the end of a demo, whatever was lost, doubled, late or out of order.

Nothing here asks the product's own rules: the ledger's truth is compared with what the product
answers, and what the ERP recorded with what the product says it told.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from service.cli.demo_api import Amount, Arrival, Message, State, Truth, Webhooks

UNDER_WAY = frozenset({"authorising", "accepted", "processing", "held"})


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, with the numbers that it was judged by."""

    name: str
    ok: bool
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a request or an order is at; amounts are minor units. An order has no final."""

    status: str | None
    received: int
    refunded: int
    taken_back: int
    booked: int
    final: bool | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """The ledger says one thing and the product another; None stands for nothing at all."""

    what: str  # request or order
    reference: str | None
    account: str | None
    provider_id: str | None
    expected: Standing | None
    actual: Standing | None


def find_drift(
    truths: Iterable[Truth],
    requests: Iterable[State],
    orders: Iterable[State],
    *,
    registered: Mapping[str, int],
) -> list[Drift]:
    """Return every request and order on which product and ledger differ.

    registered are the amounts that the ERP registered, by reference: an order's status depends
    on them.
    """
    asked = {(request.account, request.provider_id): request for request in requests}
    wanted = {order.reference: order for order in orders}
    members: dict[str, list[Truth]] = {reference: [] for reference in registered}
    drifting = []
    for truth in truths:
        request = asked.pop((truth.account, truth.provider_id), None)
        expected = _standing_of(truth)
        actual = _standing(request) if request else None
        if actual != expected:
            place = (truth.reference, truth.account, truth.provider_id)
            drifting.append(Drift("request", *place, expected, actual))
        if truth.reference is not None and truth.direction == "in":
            members.setdefault(truth.reference, []).append(truth)
    for reference, parts in members.items():
        order = wanted.pop(reference, None)
        expected = order_standing(parts, amount=registered.get(reference))
        actual = _standing(order) if order else None
        if actual != expected:
            drifting.append(Drift("order", reference, None, None, expected, actual))
    drifting += [_surplus("request", state) for state in asked.values()]
    return drifting + [_surplus("order", state) for state in wanted.values()]


def order_standing(parts: Sequence[Truth], *, amount: int | None) -> Standing:
    """Return what an order with these requests is at; amount is None where nobody registered it.

    Source: STATUSES.md, section 4.
    """
    received, refunded, taken_back, booked = (
        sum(getattr(part, name) for part in parts)
        for name in ("received", "refunded", "taken_back", "booked")
    )
    if received and refunded >= received:
        status = "reversed" if taken_back else "refunded"
    elif not received:
        status = _status_without_money(parts)
    elif amount is None:
        status = _status_unregistered(parts)
    else:
        status = _status_with_money(amount, received, received - refunded, booked)
    return Standing(status, received, refunded, taken_back, booked)


def _status_without_money(parts: Sequence[Truth]) -> str:
    if any(part.status in UNDER_WAY for part in parts):
        return "processing"
    return "closed" if parts and all(part.final for part in parts) else "unpaid"


def _status_with_money(amount: int, received: int, net: int, booked: int) -> str:
    if net > amount:
        return "overpaid"
    if net == amount:
        return "settled" if booked == received else "paid"
    return "part_refunded" if received >= amount else "part_paid"


def _status_unregistered(parts: Sequence[Truth]) -> str:
    statuses = {part.status for part in parts if part.received}
    if statuses <= {"settled"}:
        return "settled"
    return "paid" if statuses <= {"paid", "settled"} else "part_paid"


def _standing_of(truth: Truth) -> Standing:
    return Standing(
        truth.status,
        truth.received,
        truth.refunded,
        truth.taken_back,
        truth.booked,
        truth.final,
    )


def _standing(state: State) -> Standing:
    return Standing(
        state.status,
        _minor(state.received),
        _minor(state.refunded),
        _minor(state.taken_back),
        _minor(state.booked),
        state.final,
    )


def _minor(amount: Amount | None) -> int:
    return 0 if amount is None else amount.minor


def _surplus(what: str, state: State) -> Drift:
    place = (state.reference, state.account or None, state.provider_id or None)
    return Drift(what, *place, None, _standing(state))


def check_state(drifting: Sequence[Drift], *, orders: int, requests: int) -> Check:
    """Statuses and amounts of every order and request equal the ledger of money."""
    counts = {"orders": orders, "requests": requests, "drift": len(drifting)}
    return Check("state_equals_ledger", not drifting, counts)


def check_told_once(feed: Sequence[Message], arrivals: Sequence[Arrival]) -> Check:
    """The ERP has each notification of the feed once by its id, byte for byte, and nothing else."""
    told = {message.id: message.sha256 for message in feed}
    ids: dict[tuple[str, int], set[str]] = defaultdict(set)
    for message_id, message in (
        *((message.id, message) for message in feed),
        *((arrival.id, arrival.body) for arrival in arrivals),
    ):
        ids[message.subject, message.data.sequence].add(message_id)
    recorded = {arrival.id for arrival in arrivals}
    faults = {
        "missing": len(told.keys() - recorded),
        "unknown": len(recorded - told.keys()),
        "altered": sum(told.get(a.id, a.body_sha256) != a.body_sha256 for a in arrivals),
        "bad_signatures": sum(not arrival.signature_valid for arrival in arrivals),
        "told_under_two_ids": sum(len(each) > 1 for each in ids.values()),
        "twice_in_feed": len(feed) - len(told),
    }
    counts = {"in_feed": len(told), "at_erp": len(recorded), **faults}
    return Check("each_notification_once", not any(faults.values()), counts)


def check_sequence(arrivals: Sequence[Arrival]) -> Check:
    """Per request and per order, first arrivals came as 1, 2, 3, ... without gaps."""
    known: set[str] = set()
    sequences: dict[str, list[int]] = defaultdict(list)
    for arrival in arrivals:
        if arrival.id not in known:
            known.add(arrival.id)
            sequences[arrival.body.subject].append(arrival.body.data.sequence)
    wrong = sum(seen != list(range(1, len(seen) + 1)) for seen in sequences.values())
    return Check(
        "in_sequence", not wrong, {"requests_and_orders": len(sequences), "out_of_sequence": wrong}
    )


def check_webhooks(webhooks: Webhooks) -> Check:
    """Every webhook that was sent was answered 2xx; none was given up or is still under way.

    A refused try alone is no fault: a busy machine may answer 503 in time and take the webhook
    when the provider sends it again.
    """
    counts = {
        "tries": webhooks.sent,
        "accepted": webhooks.accepted,
        "refused": webhooks.refused,
        "given_up": webhooks.given_up,
        "under_way": webhooks.waiting,
    }
    return Check("webhooks_accepted", not (webhooks.given_up or webhooks.waiting), counts)


def transitions_by_cause(feed: Iterable[Message]) -> Counter[str]:
    """Return how many changes of requests each cause brought to light."""
    return Counter(
        message.data.observed_by or "unknown"
        for message in feed
        if message.type.startswith("payment_request.")
    )
