"""What a demo tells on stdout when it is over: one JSON object, or a page for people."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

import click

from service.cli.demo_checks import Drift, Standing, transitions_by_cause
from service.cli.demo_stage import Ending
from service.cli.output import Json, show_fields, show_table

CAUSES = ("webhook", "poll", "sweep", "operator")

DRIFTING_SHOWN = 10


def report_of(ending: Ending) -> Json:
    """Return the report as one object; keys are only ever added. Times are in seconds or ms."""
    plan, webhooks = ending.plan, ending.picture.stats.webhooks
    reads = ending.picture.stats.provider_reads
    causes = transitions_by_cause(ending.feed)
    all_reads = sum(reads.values())
    return {
        "ok": not ending.failed,
        "seed": plan.seed,
        "broken": plan.broken,
        "faults": dict(plan.provider_faults),
        "orders": plan.orders,
        "requests": ending.picture.requests,
        "stories": _stories(ending),
        "webhooks": {
            "sent": webhooks.sent,
            "lost": webhooks.dropped,
            "doubled": webhooks.duplicated,
            "reordered": webhooks.reordered,
            "late": webhooks.late,
        },
        "provider_reads": {"total": all_reads, **reads},
        "reads_per_request": round(all_reads / max(1, ending.picture.requests), 1),
        "transitions": {"total": causes.total()} | {cause: causes[cause] for cause in CAUSES},
        "notifications": len(ending.feed),
        "repeats": len(ending.arrivals) - len({arrival.id for arrival in ending.arrivals}),
        "webhook_to_erp_ms": {
            "median": _rounded(ending.latency.median_ms),
            "p99": _rounded(ending.latency.p99_ms),
            "samples": ending.latency.count,
        },
        "seconds_to_first_notification": _seconds_to_first_notification(ending),
        "seconds_total": _seconds_between(ending.started_at, ending.ended_at),
        "drift": len(ending.picture.drifting),
        "drifting": [
            {**asdict(drift), "story": _story(drift, ending)}
            for drift in ending.picture.drifting[:DRIFTING_SHOWN]
        ],
        "checks": {check.name: {"ok": check.ok, **check.counts} for check in ending.checks},
    }


def show_report(ending: Ending) -> None:
    """Print the report for people."""
    report = report_of(ending)
    latency = report["webhook_to_erp_ms"]
    show_fields(
        {
            "orders": f"{report['orders']} with {len(report['stories'])} different stories at"
            f" {len({each.provider for each in ending.stories.values()})} providers,"
            f" seed {report['seed']}",
            "requests": report["requests"],
            "webhooks": _counted(report["webhooks"]),
            "provider reads": f"{report['provider_reads']['total']},"
            f" {report['reads_per_request']} per request",
            "transitions": _counted(report["transitions"]),
            "notifications": f"{report['notifications']}, {report['repeats']} repeats",
            "webhook to ERP": f"median {latency['median']} ms, p99 {latency['p99']} ms,"
            f" {latency['samples']} undisturbed",
            "first notification": f"after {report['seconds_to_first_notification']} s",
            "all told": f"after {report['seconds_total']} s",
        }
    )
    click.echo()
    show_table(
        ("check", "holds", "counts"),
        [(each.name, "yes" if each.ok else "NO", _counted(each.counts)) for each in ending.checks],
    )
    if ending.picture.drifting:
        click.echo()
        show_table(
            ("drift", "reference", "provider_id", "story", "ledger", "product"),
            [
                (
                    drift.what,
                    drift.reference or "-",
                    drift.provider_id or "-",
                    _story(drift, ending) or "-",
                    _stands(drift.expected),
                    _stands(drift.actual),
                )
                for drift in ending.picture.drifting[:DRIFTING_SHOWN]
            ],
        )


def _stories(ending: Ending) -> dict[str, int]:
    """Return how often each story was played, by provider and name."""
    counts = Counter(f"{each.provider}.{each.story}" for each in ending.stories.values())
    return dict(sorted(counts.items()))


def _story(drift: Drift, ending: Ending) -> str | None:
    request = ending.stories.get((drift.account or "", drift.provider_id or ""))
    return f"{request.provider}.{request.story}" if request else None


def _seconds_to_first_notification(ending: Ending) -> float | None:
    if not ending.arrivals:
        return None
    return _seconds_between(ending.started_at, ending.arrivals[0].received_at)


def _seconds_between(start: datetime, end: datetime) -> float:
    return round((end - start).total_seconds(), 1)


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items())


def _stands(standing: Standing | None) -> str:
    """Return a standing as text; received, refunded, taken back and booked are in cents."""
    if standing is None:
        return "nothing"
    amounts = (standing.received, standing.refunded, standing.taken_back, standing.booked)
    final = " final" if standing.final else ""
    return f"{standing.status}{final} {'/'.join(map(str, amounts))}"
