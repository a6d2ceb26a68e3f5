"""What came of an attack, and the tools that several of them use."""

import math
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.bench.load import call_of
from tests.hostile.site import Site, new_id
from tests.web.serving import status_of

ANSWER_SECONDS_MAX = 20.0

_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass(frozen=True)
class Told:
    """The counts of one attack, and whether they are what was promised."""

    attack: str
    holds: bool
    counts: Mapping[str, object]

    def __str__(self) -> str:
        said = " ".join(f"{name}={_shown(value)}" for name, value in self.counts.items())
        return f"{'holds' if self.holds else 'FAILS'} attack={self.attack} {said}"


def _shown(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of them lies; 0 where there are none."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else 0.0


def connected(site: Site) -> socket.socket:
    return socket.create_connection(("127.0.0.1", site.port), timeout=ANSWER_SECONDS_MAX)


def answer_to(site: Site, sent: bytes) -> bytes:
    """Send all of it on a connection of its own; return what comes until the receiver closes.

    The receiver may close while we still send: what it said before that counts.
    """
    received = b""
    with connected(site) as line:
        with suppress(BrokenPipeError, ConnectionResetError):
            line.sendall(sent)
        with suppress(ConnectionResetError):
            while data := line.recv(65_536):
                received += data
    return received


def post(path: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a call that asks the receiver to close the connection afterwards."""
    lines = {"Host": "settled", "Connection": "close", **(headers or {})}
    lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def statuses_in(answers: bytes) -> list[int]:
    """Return the status of each answer that came on one connection."""
    return [int(status) for status in _STATUS_LINE.findall(answers)]


@dataclass
class Honest:
    """Somebody who sends one genuine call after the other; ms holds what each took."""

    ms: list[float] = field(default_factory=list)
    refused: int = 0


@contextmanager
def honest_sender(site: Site, *, pause_seconds: float = 0.005) -> Iterator[Honest]:
    """Send on one kept connection, in a thread, while the block lasts."""
    honest, ends = Honest(), threading.Event()

    def send() -> None:
        with connected(site) as line:
            while not ends.wait(pause_seconds):
                began = time.monotonic()
                line.sendall(call_of(site.path("wide"), new_id()))
                honest.refused += status_of(line.recv(65_536)) != 204
                honest.ms.append((time.monotonic() - began) * 1000)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield honest
    finally:
        ends.set()
        thread.join()
