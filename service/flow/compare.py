"""Compares the looks of a batch with what is recorded; decides, and writes nothing.

What a read names as its part is no request by itself, whether that is recorded already or comes
out in this very batch: a look at it is passed on, and what was recorded of it is taken over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from service.domain.lifecycle import (
    NoChange,
    Transition,
    Verdict,
    advance,
    without_future_version,
)
from service.domain.request import (
    BelongsTo,
    Key,
    Observation,
    ObservedBy,
    PaymentRequest,
    Related,
)
from service.flow.look import Look
from service.flow.parts import heir, named_in
from service.flow.record import Cause
from service.storage.identifiers import new_id, new_traceparent


@dataclass(frozen=True, slots=True)
class Judged:
    """A look with an observation, the request it was compared with, and the verdict."""

    look: Look
    seen: Observation
    request: PaymentRequest
    verdict: Verdict
    cause: Cause

    @property
    def is_good(self) -> bool:
        """Whether the read is taken as true: neither stale nor contradictory."""
        return isinstance(self.verdict, Transition | NoChange)


@dataclass(frozen=True, slots=True)
class Compared:
    """What a batch comes to.

    passed_on are looks at parts; their answer names the owner now. parts are the recorded
    requests that are parts, new_parts those of which that was not recorded yet, each with the
    look that names it. related is what to remember of ids that belong to a request, owners what
    is known of the locked requests after that.
    """

    judged: tuple[Judged, ...]
    passed_on: tuple[Look, ...]
    parts: tuple[tuple[PaymentRequest, Judged], ...]
    new_parts: tuple[tuple[PaymentRequest, Judged], ...]
    related: tuple[tuple[PaymentRequest, Related], ...]
    owners: Mapping[Key, Key]

    @property
    def moved_when_told(self) -> list[Key]:
        """The requests that moved in a look that a webhook made us take."""
        return [
            one.request.key
            for one in self.judged
            if isinstance(one.verdict, Transition) and one.cause.observed_by is ObservedBy.WEBHOOK
        ]


def compare(
    looks: Sequence[Look],
    requests: Mapping[Key, PaymentRequest],
    owners: Mapping[Key, Key],
    *,
    at: datetime,
) -> Compared:
    """Compare looks with observations with the locked requests, which hold named parts too.

    owners are those of the parts among the requests, as recorded.
    """
    judged = [_judge(look, requests, owners, at) for look in looks]
    owned = dict(owners)
    # Payment links, the last kind by alphabet, speak before the orders that may be their attempts.
    for one in sorted(judged, key=lambda one: one.request.key, reverse=True):
        if one.is_good and one.request.key not in owned:
            for part in named_in(one.request.key, one.seen):
                owned.setdefault(part, one.request.key)
    kept = tuple(one for one in judged if one.request.key not in owned)
    parts = tuple(
        (requests[part], one)
        for one in kept
        if one.is_good
        for part in named_in(one.request.key, one.seen)
        if part in requests and owned[part] == one.request.key
    )
    return Compared(
        judged=kept,
        passed_on=tuple(
            _passed_on(one.look, owned[one.request.key])
            for one in judged
            if one.request.key in owned
        ),
        parts=parts,
        new_parts=tuple((part, one) for part, one in parts if part.key not in owners),
        related=tuple((one.request, item) for one in kept for item in _related(one, requests)),
        owners=owned,
    )


def _related(judged: Judged, requests: Mapping[Key, PaymentRequest]) -> list[Related]:
    """Return which ids to remember as parts of a request.

    A read that is not taken as true makes no part of what is recorded as a request.
    """
    account = judged.request.key.account
    return [
        item
        for item in judged.seen.related
        if (key := Key(account, item.kind, item.provider_id)) != judged.request.key
        and (judged.is_good or key not in requests)
    ]


def _judge(
    look: Look, requests: Mapping[Key, PaymentRequest], owners: Mapping[Key, Key], at: datetime
) -> Judged:
    key = look.claimed.key
    assert isinstance(look.answer, Observation), "only looks with an observation are compared"
    observed_at = look.read_at or at
    seen = without_future_version(look.answer, at=observed_at)
    parts = [
        requests[part]
        for part in named_in(key, seen)
        if part in requests and owners.get(part, key) == key
    ]
    cause = Cause(
        observed_by=ObservedBy(look.claimed.observed_by),
        observed_at=observed_at,
        observation_id=new_id("obs"),
        answer_sha256=look.sha256,
        lease_no=look.claimed.lease_no,
        traceparent=look.claimed.traceparent or new_traceparent(),
    )
    verdict = advance(heir(requests[key], parts), seen, lease_no=look.claimed.lease_no)
    return Judged(look, seen, requests[key], verdict, cause)


def _passed_on(look: Look, owner: Key) -> Look:
    return replace(look, answer=BelongsTo(owner.kind, owner.provider_id))
