"""Senders that hold connections open: silent, or slower than anybody honest. Source: T11."""

import asyncio
import resource
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

from tests.bench.processes import holding
from tests.hostile.site import Site
from tests.hostile.told import Honest, Told, honest_sender, percentile

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

# Of a crowd, whose connections are all open at once before the first has to be closed.
CROWD_OPENING_SECONDS = 5.0
CROWD_SHARE_MIN = 0.95  # of them, at once
SAMPLE_SECONDS = 0.2
# Twice the longest head that is taken: what a connection may cost while it is open.
PER_CONNECTION_KB_MAX = 32.0
AGAIN_MB_MAX = 8.0  # more than the first crowd, for a second one


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
    with honest_sender(site) as beside:
        closed = _held_apart(site, kinds, connections, OPENING_SECONDS)
    for name, kind in kinds.items():
        yield _told_of_closing(f"slow.{name}", kind, closed[name])
    yield _told_of_honest("slow.honest_beside", alone, beside, connections * len(kinds))


def crowd(site: Site, connections: int) -> Iterator[Told]:
    """Hold so many connections at once, of the kinds that may stay longest; tell what they cost.

    A second crowd shows that what stays behind the first one is used again.
    """
    kinds = {
        name: kind for name, kind in _kinds(site).items() if kind.bound_seconds == READ_SECONDS
    }
    each = connections // len(kinds)
    with honest_sender(site) as alone:
        time.sleep(ALONE_SECONDS)
    before_mb = site.resident_mb()
    with watched(site) as most, honest_sender(site) as beside:
        closed = _held_apart(site, kinds, each, CROWD_OPENING_SECONDS)
    for name, kind in kinds.items():
        yield _told_of_closing(f"crowd.{name}", kind, closed[name])
    yield _told_of_honest("crowd.honest_beside", alone, beside, most.open)
    after_mb = site.resident_mb()
    with watched(site) as again:
        _held_apart(site, kinds, each, CROWD_OPENING_SECONDS)
    grew_kb = (most.mb - before_mb) * 1024 / max(most.open, 1)
    yield Told(
        "crowd.memory",
        min(most.open, again.open) >= CROWD_SHARE_MIN * each * len(kinds)
        and grew_kb <= PER_CONNECTION_KB_MAX
        and again.mb - most.mb <= AGAIN_MB_MAX,
        {
            "connections": each * len(kinds),
            "most_at_once": most.open,
            "before_mb": before_mb,
            "most_mb": most.mb,
            "after_mb": after_mb,
            "most_again_mb": again.mb,
            "kb_per_connection": grew_kb,
            "kb_per_connection_max": PER_CONNECTION_KB_MAX,
        },
    )


@dataclass
class Most:
    """The most connections that the receiver had at once, and the most memory."""

    open: int = 0
    mb: float = 0.0


@contextmanager
def watched(site: Site) -> Iterator[Most]:
    """Watch the receiver while the block lasts; files that were open before do not count."""
    most, ends, before = Most(), threading.Event(), holding(site.receiver).open_files

    def watch() -> None:
        while not ends.wait(SAMPLE_SECONDS):
            held = holding(site.receiver)
            most.open = max(most.open, held.open_files - before)
            most.mb = max(most.mb, held.resident_bytes / 2**20)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ends.set()
        thread.join()


def _told_of_closing(attack: str, kind: Kind, closed: list[float]) -> Told:
    latest = max(closed)
    counts = {"connections": len(closed), "latest_s": latest, "bound_s": kind.bound_seconds}
    return Told(attack, latest <= kind.bound_seconds + SLACK_SECONDS, counts)


def _told_of_honest(attack: str, alone: Honest, beside: Honest, held: int) -> Told:
    alone_ms, beside_ms = percentile(alone.ms, 0.99), percentile(beside.ms, 0.99)
    return Told(
        attack,
        beside_ms <= HONEST_MS_MAX and not beside.refused,
        {
            "held": held,
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


def _held_apart(
    site: Site, kinds: dict[str, Kind], connections: int, opening_seconds: float
) -> dict[str, list[float]]:
    """Hold in a process of its own: in ours it would hold up the honest sender."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        return apart.submit(hold, site.port, kinds, connections, opening_seconds).result()


def hold(
    port: int, kinds: dict[str, Kind], connections: int, opening_seconds: float
) -> dict[str, list[float]]:
    """Open so many of each kind within opening_seconds, evenly.

    Return, by kind, after how many seconds each connection was closed by the receiver.
    """
    _allow_files(connections * len(kinds) + FILES_SPARE)
    return asyncio.run(_hold(port, kinds, connections, opening_seconds))


async def _hold(
    port: int, kinds: dict[str, Kind], connections: int, opening_seconds: float
) -> dict[str, list[float]]:
    held = {
        name: asyncio.gather(
            *(
                _until_closed(port, kind, opening_seconds * number / connections)
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
        await asyncio.wait({reading}, timeout=DRIP_SECONDS if kind.drip else None)
        if kind.drip and not reading.done():
            writer.write(kind.drip)
    seconds = time.monotonic() - began
    if reading.exception() is not None:
        assert isinstance(reading.exception(), ConnectionError), reading.exception()
    writer.close()
    return seconds
