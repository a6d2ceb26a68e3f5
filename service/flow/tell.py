"""Tells of a recorded batch of reads: metrics, log lines and steps of traces, after the commit."""

from collections.abc import Collection, Sequence
from datetime import datetime

import structlog

from service.flow.look import Look
from service.flow.record import Moved
from service.storage.due import Claimed
from service.telemetry import metrics, traces

log = structlog.get_logger()


def tell(looks: Sequence[Look], held: Collection[Claimed], moves: Sequence[Moved]) -> None:
    """Count the reads, and tell of each request that moved; held are the claims that still were."""
    for look in looks:
        outcome = "read" if look.failure is None else look.failure.__class__.__name__.lower()
        if look.claimed not in held:
            outcome = "fenced"
        metrics.READS.labels(account=look.claimed.account, outcome=outcome).inc()
    for moved in moves:
        after = moved.transition.after
        log.info(
            "request.synced",
            request_id=after.id,
            account=after.key.account,
            transition=moved.transition.type,
            sequence=after.sequence,
            observed_by=str(moved.cause.observed_by),
        )
        metrics.TRANSITIONS.labels(
            account=after.key.account, observed_by=moved.cause.observed_by
        ).inc()


def trace(moves: Sequence[Moved], *, began_at: datetime, ended_at: datetime) -> None:
    """Tell the traces behind these moves that they were recorded, all of them together."""
    for moved in moves:
        after = moved.transition.after
        traces.tell(
            "record",
            moved.cause.traceparent,
            {"account": after.key.account, "request_id": after.id, "sequence": after.sequence},
            seconds=(ended_at - began_at).total_seconds(),
            ended_at=ended_at,
        )
