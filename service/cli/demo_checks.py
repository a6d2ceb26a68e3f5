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
    """What a request or an order is at; amounts are minor units."""

    status: str | None
    received: int
    refunded: int
    taken_back: int


@dataclass(frozen=True, slots=True)
class Drift:
    """The ledger says one thing and the product another; None stands for nothing at all."""

    what: str  # request or order
    reference: str | None
    provider_id: str | None
    expected: Standing | None
    actual: Standing | None


def find_drift(
    truths: Iterable[Truth],
    requests: Iterable[State],
    orders: Iterable[State],
    *,
    registered: frozenset[str],
) -> list[Drift]:
    """Return every request and order on which product and ledger differ.

    registered are the references that the ERP registered, which an order's status depends on.
    """
    asked = {request.provider_id: request for request in requests}
    wanted = {order.reference: order for order in orders}
    drifting = []
    for truth in truths:
        request = asked.pop(truth.provider_id, None)
        order = wanted.pop(truth.reference, None)
        is_registered = truth.reference in registered
        status = order_status(truth, registered=is_registered)
        for what, expected, found in (
            ("request", _expected(truth, truth.status), request),
            ("order", _expected(truth, status), order),
        ):
            actual = _standing(found) if found else None
            if actual != expected:
                drifting.append(Drift(what, truth.reference, truth.provider_id, expected, actual))
    drifting += [_surplus("request", state) for state in asked.values()]
    return drifting + [_surplus("order", state) for state in wanted.values()]


def order_status(truth: Truth, *, registered: bool) -> str:
    """Return the status of an order with one request at Ginger. Source: STATUSES.md, section 4."""
    net = truth.received - truth.refunded
    if truth.received and net <= 0:
        return "reversed" if truth.taken_back else "refunded"
    if truth.received:
        return _status_with_money(truth, net) if registered else _status_unregistered(truth)
    if truth.status in UNDER_WAY:
        return "processing"
    return "closed" if truth.final else "unpaid"


def _status_with_money(truth: Truth, net: int) -> str:
    if net > truth.amount:
        return "overpaid"
    if net == truth.amount:
        return "paid"
    return "part_refunded" if truth.received >= truth.amount else "part_paid"


def _status_unregistered(truth: Truth) -> str:
    return "paid" if truth.status == "paid" else "part_paid"


def _expected(truth: Truth, status: str) -> Standing:
    return Standing(status, truth.received, truth.refunded, truth.taken_back)


def _standing(state: State) -> Standing:
    return Standing(
        state.status,
        _minor(state.received),
        _minor(state.refunded),
        _minor(state.taken_back),
    )


def _minor(amount: Amount | None) -> int:
    return amount.minor if amount else 0


def _surplus(what: str, state: State) -> Drift:
    return Drift(what, state.reference, state.provider_id or None, None, _standing(state))


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
