"""Writes verdicts down: request, history, order and outbox rows in one transaction.

Everything here runs inside a unit of work whose requests are locked. Nothing that the ERP is
told can be missing from the record, and nothing recorded can be missing from the outbox.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from service.domain.history import chain
from service.domain.lifecycle import Transition
from service.domain.notification import (
    amounts,
    notification_of_order,
    notification_of_request,
    time_text,
)
from service.domain.order import OrderState, roll_up
from service.domain.request import ObservedBy, PaymentRequest
from service.domain.retry import next_turn
from service.settings import Endpoint
from service.storage.history import TransitionRow
from service.storage.identifiers import new_id, new_traceparent
from service.storage.notifications import NotificationRow
from service.storage.orders import Member, OrderRow, RolledUp
from service.storage.unit_of_work import Work


@dataclass(frozen=True, slots=True)
class Cause:
    """The read behind a transition: what made us look, when, and the answer's hash.

    traceparent is that of the webhook that made us look, else of a trace of its own.
    """

    observed_by: ObservedBy
    observed_at: datetime
    observation_id: str
    answer_sha256: bytes
    lease_no: int
    traceparent: str

    @property
    def prompt(self) -> "Prompt":
        return Prompt(self.observed_by, self.traceparent)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What made us add up an order again, and the trace that this belongs to."""

    observed_by: ObservedBy
    traceparent: str = field(default_factory=new_traceparent)


@dataclass(frozen=True, slots=True)
class Moved:
    """A transition together with its cause and the provider that it was seen at."""

    transition: Transition
    cause: Cause
    provider: str


async def record_moves(
    work: Work, moves: Sequence[Moved], *, endpoints: Sequence[Endpoint], at: datetime
) -> list[PaymentRequest]:
    """Append transitions with their messages; return the requests as they now stand, unsaved.

    The caller saves them, together with the requests that did not move.
    """
    rows: list[TransitionRow] = []
    messages: list[NotificationRow] = []
    after: list[PaymentRequest] = []
    for moved in moves:
        row = _transition_row(moved, at)
        request = replace(moved.transition.after, chain=row.hash)
        rows.append(row)
        after.append(request)
        messages.append(_request_message(moved, request, endpoints, at))
    await work.history.append_transitions(rows)
    await work.outbox.add(messages)
    return after


async def roll_up_orders(
    work: Work,
    triggered: Mapping[str, Prompt],
    *,
    endpoints: Sequence[Endpoint],
    at: datetime,
) -> int:
    """Add up orders again from their requests; return how many changed.

    triggered maps each order's id to what made us look at it.

    Locks the orders first and reads their requests in a later statement, so that two requests
    of one order which are paid at the same instant see each other.
    """
    if not triggered:
        return 0
    orders = await work.orders.lock(triggered)
    members = await work.orders.members(triggered)
    rows: list[TransitionRow] = []
    messages: list[NotificationRow] = []
    saved: list[RolledUp] = []
    for order in orders:
        of_order = members.get(order.id, [])
        state = roll_up(
            amount=order.amount if order.registered else None,
            currency=order.currency if order.registered else None,
            requests=[member.sibling for member in of_order],
        )
        # A code stays until a person has acknowledged it. Source: CONTRACT.md, section 6.
        state = replace(state, attention=state.attention | set(order.attention))
        if _tells_news(order, state):
            prompt = triggered[order.id]
            row = _order_transition_row(order, state, prompt.observed_by, at)
            rows.append(row)
            message = _order_message(order, state, of_order, row.sequence, endpoints, at)
            messages.append(replace(message, traceparent=prompt.traceparent))
            saved.append(RolledUp(order.id, state, row.sequence, row.hash))
        elif set(order.attention) != state.attention or order.rule != state.rule:
            saved.append(RolledUp(order.id, state, order.sequence, order.chain))
    await work.orders.save(saved)
    await work.history.append_transitions(rows)
    await work.outbox.add(messages)
    return len(rows)


def _transition_row(moved: Moved, at: datetime) -> TransitionRow:
    before, after = moved.transition.before, moved.transition.after
    content: dict[str, object] = {
        "subject_id": after.id,
        "sequence": after.sequence,
        "type": moved.transition.type,
        "before": facts_json(before),
        "after": facts_json(after),
        "correction": moved.transition.correction,
        "observed_by": str(moved.cause.observed_by),
        "answer_sha256": moved.cause.answer_sha256.hex(),
        "lease_no": moved.cause.lease_no,
        "version": after.version,
        "occurred_at": time_text(after.occurred_at),
        "recorded_at": time_text(at),
    }
    return TransitionRow(
        id=new_id("trn"),
        subject="request",
        subject_id=after.id,
        sequence=after.sequence,
        type=moved.transition.type,
        before=facts_json(before),
        after=facts_json(after) or {},
        correction=moved.transition.correction,
        observed_by=moved.cause.observed_by,
        observation_id=moved.cause.observation_id,
        answer_sha256=moved.cause.answer_sha256,
        lease_no=moved.cause.lease_no,
        version=after.version,
        occurred_at=after.occurred_at,
        recorded_at=at,
        chained_from=before.chain,
        hash=chain(before.chain, content),
    )


def facts_json(request: PaymentRequest) -> dict[str, object] | None:
    """Return a request's facts as the history keeps them, None before the first read."""
    facts = request.facts
    if facts is None:
        return None
    return {
        "status": str(facts.status),
        "final": facts.final,
        "currency": facts.currency,
        "amount": facts.amount,
        "received": facts.received,
        "refunded": facts.refunded,
        "taken_back": facts.taken_back,
        "booked": facts.booked,
        "provider_status": facts.provider_status,
        "reason": facts.reason,
    }


def _request_message(
    moved: Moved, request: PaymentRequest, endpoints: Sequence[Endpoint], at: datetime
) -> NotificationRow:
    identifier = new_id("ntf")
    kind = moved.transition.type
    return NotificationRow(
        id=identifier,
        type=kind,
        subject="request",
        subject_id=request.id,
        sequence=request.sequence,
        account=request.key.account,
        reference=request.reference,
        body=notification_of_request(
            moved.transition.before,
            request,
            notification_id=identifier,
            notification_type=kind,
            provider=moved.provider,
            correction=moved.transition.correction,
            observed_by=moved.cause.observed_by,
            observed_at=moved.cause.observed_at,
            recorded_at=at,
        ),
        created_at=at,
        endpoints=_endpoints_for(endpoints, kind, {request.key.account}),
        due_at=_due_at(endpoints, at),
        traceparent=moved.cause.traceparent,
    )


def _tells_news(order: OrderRow, state: OrderState) -> bool:
    """Return whether the ERP has to hear of it: the status or an amount is another."""
    before = (order.status, order.received, order.refunded, order.taken_back, order.booked)
    return before != (
        str(state.status),
        state.received,
        state.refunded,
        state.taken_back,
        state.booked,
    )


def _order_transition_row(
    order: OrderRow, state: OrderState, observed_by: ObservedBy, at: datetime
) -> TransitionRow:
    before: dict[str, object] | None = None
    if order.status is not None:
        before = {
            "status": order.status,
            "rule": order.rule,
            "received": order.received,
            "refunded": order.refunded,
            "taken_back": order.taken_back,
            "booked": order.booked,
        }
    after: dict[str, object] = {
        "status": str(state.status),
        "rule": state.rule,
        "received": state.received,
        "refunded": state.refunded,
        "taken_back": state.taken_back,
        "booked": state.booked,
    }
    content: dict[str, object] = {
        "subject_id": order.id,
        "sequence": order.sequence + 1,
        "type": f"order.{state.status}",
        "before": before,
        "after": after,
        "observed_by": str(observed_by),
        "recorded_at": time_text(at),
    }
    return TransitionRow(
        id=new_id("trn"),
        subject="order",
        subject_id=order.id,
        sequence=order.sequence + 1,
        type=f"order.{state.status}",
        before=before,
        after=after,
        correction=False,
        observed_by=observed_by,
        observation_id=None,
        answer_sha256=None,
        lease_no=None,
        version=None,
        occurred_at=None,
        recorded_at=at,
        chained_from=order.chain,
        hash=chain(order.chain, content),
    )


def _order_message(
    order: OrderRow,
    state: OrderState,
    members: Sequence[Member],
    sequence: int,
    endpoints: Sequence[Endpoint],
    at: datetime,
) -> NotificationRow:
    identifier = new_id("ntf")
    kind = f"order.{state.status}"
    return NotificationRow(
        id=identifier,
        type=kind,
        subject="order",
        subject_id=order.id,
        sequence=sequence,
        account=None,
        reference=order.reference,
        body=notification_of_order(
            state,
            notification_id=identifier,
            order_id=order.id,
            reference=order.reference,
            sequence=sequence,
            previous_status=order.status,
            amount=order.amount if order.registered else None,
            requests=[_brief(member) for member in members],
            recorded_at=at,
        ),
        created_at=at,
        endpoints=_endpoints_for(endpoints, kind, {member.account for member in members}),
        due_at=_due_at(endpoints, at),
    )


def _brief(member: Member) -> Mapping[str, object]:
    facts = member.sibling.facts
    money = (
        amounts(facts.currency, facts.amount, facts.money)
        if facts
        else amounts(None, None, (0, 0, 0, 0))
    )
    return {
        "id": member.sibling.request_id,
        "account": member.account,
        "status": facts.status if facts else None,
        "received": money["received"],
        "refunded": money["refunded"],
    }


def _endpoints_for(endpoints: Sequence[Endpoint], kind: str, accounts: set[str]) -> tuple[str, ...]:
    """Return the names of the endpoints that want this type from any of these accounts."""
    asked: set[str | None] = {*accounts} or {None}
    return tuple(
        endpoint.name
        for endpoint in endpoints
        if any(endpoint.matches(kind, account) for account in asked)
    )


def _due_at(endpoints: Sequence[Endpoint], at: datetime) -> dict[str, datetime]:
    """Return when those endpoints that are told only every so often are told next."""
    return {each.name: next_turn(each.every, at) for each in endpoints if each.every is not None}
