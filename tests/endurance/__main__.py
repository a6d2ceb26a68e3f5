"""`python -m tests.endurance`: one seeded plan of faults while webhooks flow, then a reckoning.

Receivers, workers, beats, Redis and PostgreSQL are killed, restarted, emptied, starved of disk,
connections and locks; clocks go wrong, a worker stands still, links lie, providers and ERP fail.
Traffic goes on all the while. Ends with 0 only if nothing was lost, wrong, told twice, told out of
order or left hanging. Filling a disk needs the right to mount, wrong clocks need libfaketime; what
cannot be had is named and left out.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from service.cli.demo_plan import FAULTS_DEFAULT, parse_faults
from tests.endurance.fleet import clock_library, prepared
from tests.endurance.plan import (
    SHORT,
    SHORT_KINDS,
    SHORT_SECONDS,
    EndurancePlan,
    Fault,
    strikes_of,
)
from tests.endurance.run import Report, run
from tests.scale.fleet import KINDS


def main() -> int:
    """Play, print what was counted, and return the exit code."""
    asked = _arguments()
    # Told to end, we end as with Ctrl-C: no process and no mounted disk stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seconds, kinds, chosen = asked.seconds, KINDS, asked.only
    if asked.short:
        seconds, kinds = SHORT_SECONDS, SHORT_KINDS
        chosen = sorted({strike.fault for strike in SHORT})
    orders = max(1, round(seconds * asked.rate))
    plan = EndurancePlan(orders, asked.seed, parse_faults(FAULTS_DEFAULT))
    with prepared(plan, kinds, wants_disk=Fault.DISK in chosen, logs=asked.logs) as ground:
        can_be_had = {Fault.DISK: ground.disk is not None, Fault.CLOCK: clock_library() is not None}
        missing = [fault for fault in chosen if not can_be_had.get(fault, True)]
        chosen = [fault for fault in chosen if fault not in missing]
        strikes = list(SHORT) if asked.short else strikes_of(asked.seed, seconds, chosen)
        click.echo(
            f"seed={asked.seed} seconds={seconds:g} orders={orders} strikes={len(strikes)}"
            f" left_out={','.join(missing) or 'nothing'}"
        )
        click.echo("\n".join(f"plan {strike}" for strike in strikes))
        started = time.monotonic()
        report = asyncio.run(
            run(ground, plan, strikes, rate=asked.rate, answers_early=asked.answer_early)
        )
    click.echo("\n".join(lines_of(report, chosen, seconds=time.monotonic() - started)))
    return 0 if report.ending.is_good else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, default=300.0, help="of traffic and faults")
    length.add_argument("--minutes", type=minutes, dest="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2.0, help="orders begun per second")
    parser.add_argument(
        "--only",
        type=faults,
        default=list(Fault),
        metavar="FAULT",
        help=f"some of {', '.join(Fault)}",
    )
    parser.add_argument("--short", action="store_true", help="few strikes on few processes")
    parser.add_argument("--logs", type=Path, help="a folder for what the processes said at last")
    parser.add_argument("--answer-early", action="store_true", help="a defect: the run must fail")
    return parser.parse_args()


def minutes(text: str) -> float:
    """Return the seconds of so many minutes. Raises ValueError for anything but a number."""
    return 60 * float(text)


def faults(text: str) -> list[Fault]:
    """Return the faults in a list with commas. Raises ValueError for one that there is not."""
    return [Fault(name) for name in text.split(",")]


def lines_of(report: Report, chosen: Sequence[Fault], *, seconds: float) -> list[str]:
    """Return what was counted, the last line with all that decides."""
    pending = ",".join(f"{each}:{report.pending[each]}/{report.struck[each]}" for each in chosen)
    before, after = report.connections
    looked_at = (
        *(f"mismatch {drift}" for drift in report.drifting[:20]),
        f"answers={_of(report.answers)} calls_broken_off={report.broken_off}",
        f"given_up_by_provider={report.given_up} struck_on_links={_of(report.links)}",
        f"connections_before={_of(before)} after={_of(after)}",
        f"files_and_mb_before={report.processes[0]} after={report.processes[1]}",
        f"alarms={_of(report.alarms)} settled_after_seconds={report.settling_seconds:.0f}",
    )
    decides = (
        f"faults_with_traffic_pending={report.pending.total()}/{report.struck.total()}"
        f" {{{pending}}}\n"
        f"webhooks={report.webhooks} answered_2xx={report.answered_2xx} {report.ending}"
        f" faults={_of(report.struck)} deaths_nobody_asked_for={report.deaths}"
        f" notifications={report.notifications} seconds={seconds:.0f}"
    )
    return [*looked_at, decides]


def _of(counts: Counter[str] | Counter[int] | Counter[Fault]) -> str:
    return "{" + ",".join(f"{name}:{number}" for name, number in counts.items()) + "}"


if __name__ == "__main__":
    sys.exit(main())
