"""Senders that hold connections open: silent, or slower than anybody honest. Source: T11."""

import asyncio
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from tests.hostile.site import Site
from tests.hostile.told import Told, honest_sender, percentile

# The receiver's bounds: from the first byte to the end of the body, and to the answer of a call.
# Source: service/web/connection.py, Limits; service/web/webhooks.py.
READ_SECONDS = 10.0
ANSWER_SECONDS = 3.5
SLACK_SECONDS = 2.0  # of a machine that has other things to do
HONEST_MS_MAX = 1_000.0  # a quarter of what the least patient provider waits
DRIP_SECONDS = 0.5
ALONE_SECONDS = 4.0
OPENING_SECONDS = 8.0  # from the first connection to the last
FILES_SPARE = 200


@dataclass(frozen=True)
class Kind:
    """start is sent at once; one byte of drip after the other follows, b"" is nothing at all."""

    start: bytes
    drip: bytes
    bound_seconds: float


def attack(site: Site, connections: int) -> Iterator[Told]:
    """Hold as many connections of all five kinds at once; tell of each kind."""
    kinds = _kinds(site)
    with honest_sender(site) as alone:
        time.sleep(ALONE_SECONDS)
    # In a process of its own: in ours it would hold up the honest sender.
    apart = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    with apart, honest_sender(site) as beside:
        closed = apart.submit(hold, site.port, kinds, connections).result()
    alone_ms, beside_ms = percentile(alone.ms, 0.99), percentile(beside.ms, 0.99)
    for name, kind in kinds.items():
        latest = max(closed[name])
        yield Told(
            f"slow.{name}",
            latest <= kind.bound_seconds + SLACK_SECONDS,
            {
                "connections": connections,
                "closed": len(closed[name]),
                "latest_s": latest,
                "bound_s": kind.bound_seconds,
            },
        )
    yield Told(
        "slow.honest_beside",
        beside_ms <= HONEST_MS_MAX and not beside.refused,
        {
            "held": connections * len(kinds),
            "calls": len(beside.ms),
            "refused": beside.refused,
            "p99_ms": beside_ms,
            "p99_alone_ms": alone_ms,
        },
    )


def _kinds(site: Site) -> dict[str, Kind]:
    head = f"POST {site.path('wide')} HTTP/1.1\r\nHost: settled\r\n".encode()
    body = head + b"Content-Length: 60000\r\n\r\n{"
    return {
        "silent": Kind(b"", b"", READ_SECONDS),
        "header_drips": Kind(head + b"X-Slow: ", b"x", READ_SECONDS),
        "header_stalls": Kind(head + b"X-Stall", b"", READ_SECONDS),
        "body_drips": Kind(body, b"x", ANSWER_SECONDS),
        "body_stalls": Kind(body, b"", ANSWER_SECONDS),
    }


def _allow_files(wanted: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard >= wanted, f"needs {wanted} open files, the system allows {hard}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def hold(port: int, kinds: dict[str, Kind], connections: int) -> dict[str, list[float]]:
    """Return, by kind, after how many seconds each connection was closed by the receiver."""
    _allow_files(connections * len(kinds) + FILES_SPARE)
    return asyncio.run(_hold(port, kinds, connections))


async def _hold(port: int, kinds: dict[str, Kind], connections: int) -> dict[str, list[float]]:
    held = {
        name: asyncio.gather(
            *(
                _until_closed(port, kind, OPENING_SECONDS * number / connections)
                for number in range(connections)
            )
        )
        for name, kind in kinds.items()
    }
    return {name: await closing for name, closing in held.items()}


async def _until_closed(port: int, kind: Kind, wait_seconds: float) -> float:
    await asyncio.sleep(wait_seconds)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    writer.write(kind.start)
    reading = asyncio.create_task(reader.read())
    while not reading.done():
        await asyncio.wait({reading}, timeout=DRIP_SECONDS)
        if kind.drip and not reading.done():
            writer.write(kind.drip)
    seconds = time.monotonic() - began
    if reading.exception() is not None:
        assert isinstance(reading.exception(), ConnectionError), reading.exception()
    writer.close()
    return seconds
