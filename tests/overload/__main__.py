"""`python -m tests.overload`: twice what the receiver can take, and a database that stands still.

The receiver is held to half a core, so that whoever sends is not short of processors
himself: this needs root and a control group of processors (tests/overload/share.py).

First a closed loop finds what it can take. Then an open loop sends a multiple of that, whatever
comes back, with a thousand connections more than the receiver works on at a time. Once more the
same happens at a tenth of the rate while another session holds the lock of the table that every
webhook writes to. Ends with 0 only if refusals were quick and said when to come again, what
was accepted is stored and came in time, memory stayed bounded, and it recovered by itself; with 2
if it says nothing: the receiver could not be held back, or the sender did not keep to its times.
"""

import argparse
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import click
import httpx
import psycopg

from tests.bench.load import Plan as ClosedPlan
from tests.bench.load import send as send_closed
from tests.bench.processes import until
from tests.hostile.site import Site, hint, new_id, prepared
from tests.hostile.told import Told, percentile
from tests.overload.sender import Plan, Result, result_of, send
from tests.overload.share import NoShare, held_to

RECEIVER_SHARE = 0.5  # of a core
SECONDS = 60.0  # source: RELIABILITY.md, G5
CONNECTIONS = 2_048  # the receiver works on 1,024 calls at a time
# Ginger waits 4 s, and nobody is left without an answer for longer than 3.5 s.
# Source: CONTRACT.md, section 4.
ACCEPTED_MS_MAX = 4_000.0
REFUSED_MS_MAX = 250.0  # source: RELIABILITY.md, G5
ANSWER_MS_MAX = 4_000.0  # also of a refusal that had to wait to find out about the database
GROWTH_MB_MAX = 50.0
RECOVERY_SECONDS_MAX = 10.0
SENDER_LATE_MS_MAX = 100.0
NOTE_SECONDS = 0.1
WARM_UP_SECONDS = 1.0
CAPACITY_SECONDS = 4.0
HELD_SHARE = 0.1  # of what it can take, while the lock is held


class SaysNothing(Exception):
    """What was measured is not what the receiver did."""


def main() -> int:
    """Overload, print what was counted, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of either overload")
    parser.add_argument("--times", type=float, default=2.0, help="what it can take")
    asked = parser.parse_args()
    try:
        with prepared() as site, held_to(RECEIVER_SHARE, site.receiver):
            runs = _runs(site, asked.times, asked.seconds)
    except (NoShare, SaysNothing) as error:
        click.echo(f"says nothing: {error}", err=True)
        return 2
    return 0 if all(told.holds for told in runs) else 1


def _runs(site: Site, times: float, seconds: float) -> list[Told]:
    capacity = _capacity(site)
    click.echo(f"capacity_per_second={capacity:.0f}")
    return [
        _overload(site, "overload", times * capacity, seconds, nullcontext()),
        _overload(site, "held_lock", HELD_SHARE * capacity, seconds, _held_lock(site)),
    ]


def _capacity(site: Site) -> float:
    """Return how many webhooks a second it stores when nobody sends before the last answer."""
    path = site.path("wide")
    send_closed(ClosedPlan(site.port, path, seconds=WARM_UP_SECONDS))
    result = send_closed(ClosedPlan(site.port, path, seconds=CAPACITY_SECONDS))
    assert not result.refused, result.refused
    return result.accepted / result.seconds


def _overload(
    site: Site, name: str, rate: float, seconds: float, trouble: AbstractContextManager[None]
) -> Told:
    """Send at a rate for so many seconds, in trouble, and tell what came of it.

    Raises SaysNothing when the calls did not go out at their times.
    """
    stored = _stored(site)
    plan = Plan(site.port, site.path("wide"), rate, seconds, CONNECTIONS)
    with _resident(site) as resident, trouble:
        result = result_of(send(plan))
    recovered = _recovery_seconds(site)
    # The last one is that which shows that it recovered.
    told = _told(name, rate, result, _stored(site) - stored - 1, recovered, resident)
    click.echo(told)
    if (late_ms := percentile(result.late_ms, 0.99)) > SENDER_LATE_MS_MAX:
        raise SaysNothing(f"{name}: one call in a hundred was sent {late_ms:.0f} ms late or more")
    return told


def _told(
    name: str,
    rate: float,
    result: Result,
    stored: int,
    recovery_seconds: float,
    resident: Sequence[float],
) -> Told:
    accepted, refused = result.of(204), result.of(503)
    others = sum(map(len, result.ms.values())) - len(accepted) - len(refused)
    # Who finds nobody waiting for a database that keeps us waiting has to find out; most do not.
    refused_ms_max = REFUSED_MS_MAX if name == "overload" else ANSWER_MS_MAX
    lost = len(accepted) - stored
    growth = max(resident) - resident[0]
    holds = (
        percentile(refused, 0.5) <= REFUSED_MS_MAX
        and percentile(refused, 0.99) <= refused_ms_max
        and max(accepted, default=0.0) <= ACCEPTED_MS_MAX
        and result.hinted == len(refused)
        and not (others or result.unanswered)
        and lost <= 0
        and growth <= GROWTH_MB_MAX
        and recovery_seconds <= RECOVERY_SECONDS_MAX
        and (bool(refused) or name == "overload")
    )
    return Told(
        name,
        holds,
        {
            "per_second": f"{rate:.0f}",
            "accepted": len(accepted),
            "stored": stored,
            "accepted_lost": max(lost, 0),
            "refused_503": len(refused),
            "with_retry_after": result.hinted,
            "other": others,
            "unanswered": result.unanswered,
            "missed": result.missed,
            "accepted_p99_ms": percentile(accepted, 0.99),
            "accepted_max_ms": max(accepted, default=0.0),
            "refused_p50_ms": percentile(refused, 0.5),
            "refused_p99_ms": percentile(refused, 0.99),
            "sender_late_p99_ms": percentile(result.late_ms, 0.99),
            "grew_mb": growth,
            "recovered_after_s": recovery_seconds,
        },
    )


@contextmanager
def _resident(site: Site) -> Iterator[list[float]]:
    """Note how much memory the receiver holds, from before the block to its end, in MB."""
    noted, ends = [site.resident_mb()], threading.Event()

    def note() -> None:
        while not ends.wait(NOTE_SECONDS):
            noted.append(site.resident_mb())

    thread = threading.Thread(target=note)
    thread.start()
    try:
        yield noted
    finally:
        ends.set()
        thread.join()


@contextmanager
def _held_lock(site: Site) -> Iterator[None]:
    """Hold the lock of the table that every webhook writes to, while the block lasts."""
    with psycopg.connect(site.database_url) as holder:
        holder.execute("set statement_timeout = 0")
        holder.execute("set idle_in_transaction_session_timeout = 0")
        holder.execute("lock table due in access exclusive mode")
        yield
        holder.rollback()


def _recovery_seconds(site: Site) -> float:
    """Return how long it takes until an ordinary call is stored again."""
    began = time.monotonic()
    with httpx.Client(base_url=site.url, trust_env=False, timeout=10.0) as client:
        until(
            lambda: client.post(site.path("wide"), content=hint(new_id())).status_code == 204,
            "a call is stored again",
        )
    return time.monotonic() - began


def _stored(site: Site) -> int:
    return site.count("select count(*) from events")


if __name__ == "__main__":
    sys.exit(main())
