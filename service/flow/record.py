"""Writes verdicts down: request, history and outbox rows in one transaction.

Everything here runs inside a unit of work whose requests are locked. Nothing that the ERP is
told can be missing from the record, and nothing recorded can be missing from the outbox.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from service.domain.history import chain
from service.domain.lifecycle import Transition
from service.domain.notification import notification_of_request, time_text
from service.domain.request import ObservedBy, PaymentRequest
from service.domain.retry import next_turn
from service.settings import Endpoint
from service.storage.history import TransitionRow
from service.storage.identifiers import new_id
from service.storage.notifications import NotificationRow
from service.storage.orders import RolledUp
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


@dataclass(frozen=True, slots=True)
class Moved:
    """A transition together with its cause and the provider that it was seen at."""

    transition: Transition
    cause: Cause
    provider: str


@dataclass(frozen=True, slots=True)
class News:
    """Transitions with their messages, still to be written when their subjects are saved."""

    transitions: list[TransitionRow] = field(default_factory=list)
    messages: list[NotificationRow] = field(default_factory=list)


async def save_moves(
    work: Work,
    moves: Sequence[Moved],
    quiet: Sequence[PaymentRequest],
    *,
    endpoints: Sequence[Endpoint],
    at: datetime,
) -> tuple[list[PaymentRequest], News]:
    """Save requests that moved and quiet ones.

    Return those that moved, as they now stand, and what is to be written of them.
    """
    news = News()
    after: list[PaymentRequest] = []
    for moved in moves:
        row = _transition_row(moved, at)
        request = replace(moved.transition.after, chain=row.hash)
        after.append(request)
        news.transitions.append(row)
        news.messages.append(_request_message(moved, request, endpoints, at))
    await work.requests.save([*after, *quiet])
    return after, news


async def write_news(work: Work, news: News, *, orders: Sequence[RolledUp] = ()) -> None:
    """Save orders, then append transitions with their messages; all in one round trip.

    The database takes a transition only from a subject that stands where it was brought to.
    """
    async with work.connection.pipeline():
        await work.orders.save(orders)
        await work.history.append_transitions(news.transitions)
        await work.outbox.add(news.messages)


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
        endpoints=endpoints_for(endpoints, kind, {request.key.account}),
        due_at=turns_for(endpoints, at),
        traceparent=moved.cause.traceparent,
    )


def endpoints_for(endpoints: Sequence[Endpoint], kind: str, accounts: set[str]) -> tuple[str, ...]:
    """Return the names of the endpoints that want this type from any of these accounts."""
    asked: set[str | None] = {*accounts} or {None}
    return tuple(
        endpoint.name
        for endpoint in endpoints
        if any(endpoint.matches(kind, account) for account in asked)
    )


def turns_for(endpoints: Sequence[Endpoint], at: datetime) -> dict[str, datetime]:
    """Return when those endpoints that are told only every so often are told next."""
    return {each.name: next_turn(each.every, at) for each in endpoints if each.every is not None}
