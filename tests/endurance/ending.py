"""What is left when everything has settled: each webhook, each status, each message, each lease."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg

from service.cli.demo_api import Arrival, Message
from service.cli.demo_checks import check_sequence, check_told_once
from service.runtime import CONNECTIONS_MAX
from tests.endurance.fleet import HarassedFleet

# What is still under way when all else has settled has so long to end.
SECONDS_MAX = 90.0
LOOK_SECONDS = 1.0

# A row that has been due, or whose lease has been over, for longer was forgotten.
LATE = "interval '10 s'"

# Beyond its pool a receiver has the line of its writer, and a worker one now and then to say that
# it lives, as their supervisors have one to ask.
CONNECTIONS_BESIDE = 2

# How many more files a process may have open than when it was fresh: its pool, and the lines to
# providers and ERP in use. Idle ones are kept for 15 s after a rush.
FILES_MORE_MAX = 64


@dataclass(frozen=True, slots=True)
class Told:
    """How what the ERP took compares with what the product says it told."""

    untold: int
    told_twice: int
    altered: int
    out_of_order: int


@dataclass(frozen=True, slots=True)
class Ending:
    """What must be nothing at the end."""

    unstored: int
    state_mismatch: int
    untold: int
    told_twice: int
    altered: int
    out_of_order: int
    leases_hanging: int
    connections_leaked: int
    files_leaked: int
    answered_500: int
    pauses_unnoticed: int
    disk_full_unrefused: int
    webhooks_under_way: int
    strikes_without_traffic: int

    @property
    def is_good(self) -> bool:
        return not any(asdict(self).values())

    def __str__(self) -> str:
        return " ".join(f"{name}={count}" for name, count in asdict(self).items())


def compare_told(feed: Sequence[Message], arrivals: Sequence[Arrival]) -> Told:
    """Compare the product's feed with what the ERP took: 2xx, or kept and then cut off.

    A message that the ERP refused, such as one whose sender's clock is wrong, was not told.
    """
    taken = [arrival for arrival in arrivals if arrival.status is None or arrival.status < 300]
    told = check_told_once(feed, taken).counts
    return Told(
        untold=told["missing"],
        told_twice=told["told_under_two_ids"] + told["twice_in_feed"] + told["unknown"],
        altered=told["altered"],
        out_of_order=check_sequence(arrivals).counts["out_of_sequence"],
    )


async def count_leases_hanging(database: str, *, seconds_max: float = SECONDS_MAX) -> int:
    """Return what is left when nothing is due any more; waits for what may still end by itself."""
    return await _least(
        seconds_max,
        database,
        f"""
        select (select count(*) from due
                 where parked is null and due_at < now() - {LATE} and not_before < now() - {LATE}
                   and leased_until < now() - {LATE})
             + (select count(*) from due
                 where leased_until > '-infinity' and leased_until < now() - {LATE})
             + (select count(*) from deliveries where closed_at is null)
             + (select count(*) from windows
                 where finished_at is null and leased_until < now() - {LATE}
                   and started_at < now() - {LATE})
        """,
    )


async def count_connections_leaked(
    database: str, kinds: Mapping[str, int], *, seconds_max: float = SECONDS_MAX
) -> int:
    """Return connections beyond what the processes' pools may hold, and forgotten transactions."""
    allowed = sum(
        count * (CONNECTIONS_MAX[verb] + CONNECTIONS_BESIDE) for verb, count in kinds.items()
    )
    return await _least(
        seconds_max,
        database,
        f"""
        select greatest(0, count(*) - {allowed})
             + count(*) filter (where state like 'idle in transaction%'
                                  and state_change < now() - {LATE})
          from pg_stat_activity
         where application_name like 'settled %'
        """,
    )


async def count_connections(database: str) -> Counter[str]:
    """Return how many connections each part of the product has."""
    async with await psycopg.AsyncConnection.connect(database) as connection:
        cursor = await connection.execute(
            "select application_name, count(*) from pg_stat_activity"
            " where application_name like 'settled %' group by 1 order by 1"
        )
        return Counter(dict(await cursor.fetchall()))


def files_and_memory(fleet: HarassedFleet) -> dict[str, tuple[int, int]]:
    """Return per verb the most files that one of its processes has open, and the most MB."""
    found = {}
    for verb in fleet.kinds:
        pids = fleet.pids(verb)
        files = max((len(os.listdir(f"/proc/{pid}/fd")) for pid in pids), default=0)
        found[verb] = (files, max((_resident_mb(pid) for pid in pids), default=0))
    return found


async def until_files_are_closed(
    fleet: HarassedFleet, before: Mapping[str, tuple[int, int]]
) -> dict[str, tuple[int, int]]:
    """Return what processes hold once no file has leaked; lines that callers keep end by and by."""
    ends_at = time.monotonic() + SECONDS_MAX
    while True:
        after = files_and_memory(fleet)
        if not count_files_leaked(before, after) or time.monotonic() > ends_at:
            return after
        await asyncio.sleep(LOOK_SECONDS)


def count_files_leaked(
    before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]
) -> int:
    """Return how many files are open beyond what a process that works keeps open."""
    return sum(
        max(0, after[verb][0] - files - FILES_MORE_MAX) for verb, (files, _) in before.items()
    )


def _resident_mb(pid: int) -> int:
    """Return the memory that a process holds, in MB. See proc(5), statm."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024**2


async def _least(seconds_max: float, database: str, query: str) -> int:
    """Return 0 as soon as a query counts nothing, else what it counts when the time is over."""
    ends_at = time.monotonic() + seconds_max
    while True:
        async with await psycopg.AsyncConnection.connect(database) as connection:
            row = await (await connection.execute(query.encode())).fetchone()
        assert row is not None
        if row[0] == 0 or time.monotonic() > ends_at:
            return int(row[0])
        await asyncio.sleep(LOOK_SECONDS)
