"""What bounds a call besides its answer: each phase has an end, and our own machine is no ERP."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from service.errors import Unavailable
from service.wire import Wire, is_own
from tests.flow.surroundings import eventually
from tests.test_wire import OK, answering, serving, silent, wired
from tests.test_wire import self_signed as certified

TOTAL_SECONDS = 30.0
PHASE_SECONDS = 0.2


async def fails_early(wire: Wire, url: str, *, total_seconds: float = TOTAL_SECONDS) -> bool:
    """Whether a call ends as a time-out long before the time that a whole call may take."""
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"^timeout$"):
        await wire.send(httpx.Request("GET", url), total_seconds=total_seconds, body_bytes_max=1000)
    return time.monotonic() - started < TOTAL_SECONDS / 2


@contextlib.asynccontextmanager
async def overrun() -> AsyncIterator[int]:
    """A port whose queue of connections is full, so that no further one comes about."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield listener.getsockname()[1]


async def test_connecting_has_an_end_of_its_own() -> None:
    async with overrun() as port, wired(connect_seconds=PHASE_SECONDS) as wire:
        assert await fails_early(wire, f"http://127.0.0.1:{port}/")


async def test_a_handshake_that_is_never_answered_has_the_same_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with wired(connect_seconds=PHASE_SECONDS) as wire:
            assert await fails_early(wire, f"https://localhost:{port}/")


class Hanging(AbstractResolver):
    """A name server that never answers."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        await asyncio.Event().wait()
        return []

    async def close(self) -> None:
        """Nothing to release."""


@pytest.mark.parametrize("check_addresses", [True, False])
async def test_the_time_of_a_call_includes_looking_up_the_name(check_addresses: bool) -> None:
    async with wired(check_addresses=check_addresses, resolver=Hanging()) as wire:
        assert await fails_early(wire, "http://erp.example/", total_seconds=PHASE_SECONDS)


async def test_the_time_of_a_call_includes_waiting_for_a_connection() -> None:
    async with serving(silent) as server, wired(connections_per_host=1) as wire:
        url = f"http://127.0.0.1:{server.port}/"
        first = asyncio.create_task(fails_early(wire, url, total_seconds=3 * PHASE_SECONDS))
        await eventually(lambda: bool(server.heads))
        assert await fails_early(wire, url, total_seconds=PHASE_SECONDS)
        assert len(server.heads) == 1
        assert await first


async def test_the_environment_makes_no_certificate_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tls = certified(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "self_signed.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    async with serving(answering(OK), tls=tls) as server, wired() as wire:
        with pytest.raises(Unavailable, match=r"^tls_failed$"):
            await wire.send(
                httpx.Request("GET", f"https://localhost:{server.port}/"),
                total_seconds=5,
                body_bytes_max=10,
            )

    assert ssl.create_default_context().cert_store_stats()["x509"] == 1, "others would trust it"
    assert server.heads == []


@pytest.mark.parametrize(
    ("text", "own"),
    [("127.0.0.1", True), ("::1", True), ("1.1.1.1", False)],
)
def test_an_address_of_this_machine_is_known_as_such(text: str, own: bool) -> None:
    assert is_own(ip_address(text)) is own
