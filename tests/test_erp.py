"""Posting a notification: what goes out is signed, and every answer comes to an Outcome."""

import asyncio
import base64
import hashlib
from dataclasses import astuple
from datetime import UTC, datetime

import pytest

from service.domain.signature import verify
from service.ed25519 import check_of, public_key_of, seal_of
from service.erp import Door, Message, Outcome, excerpt_of, post, result_of
from service.wire import Wire
from tests.test_wire import Handler, answering, serving, wired

KEYS = [bytes(range(32)), bytes(24)]
BODY = '{"type":"payment_request.paid","name":"Zoë"}'.encode()
AT = datetime(2026, 11, 20, 14, 30, 0, 999_000, tzinfo=UTC)


MESSAGE = Message("ntf_1", BODY)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SEALING = "whsk_" + base64.b64encode(bytes(range(32))).decode()


async def posted(wire: Wire, url: str, *, timeout_seconds: float = 1) -> Outcome:
    return await post(wire, MESSAGE, Door(url, KEYS, timeout_seconds), at=AT)


async def outcome_of(handler: Handler, *, timeout_seconds: float = 1) -> Outcome:
    async with serving(handler) as server, wired() as wire:
        url = f"http://127.0.0.1:{server.port}/hook"
        return await posted(wire, url, timeout_seconds=timeout_seconds)


def saying(status: int, *headers: str, body: bytes = b"") -> Handler:
    lines = [f"HTTP/1.1 {status} X", *headers, f"content-length: {len(body)}", "", ""]
    return answering("\r\n".join(lines).encode() + body)


def headers_of(head: str) -> list[tuple[str, str]]:
    lines = head.rstrip("\r\n").split("\r\n")[1:]
    return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]


async def test_what_goes_out_verifies_with_every_live_key() -> None:
    async with serving(saying(204)) as server, wired() as wire:
        await posted(wire, f"http://127.0.0.1:{server.port}/hook?a=b")

    headers = headers_of(server.heads[0])
    assert server.heads[0].startswith("POST /hook?a=b HTTP/1.1\r\n")
    assert ("content-type", "application/json") in headers
    assert ("webhook-timestamp", str(int(AT.timestamp()))) in headers
    for key in KEYS:
        assert verify([key], headers=headers, body=BODY, now=int(AT.timestamp()))


async def test_a_door_with_an_ed25519_key_is_sealed_for_its_public_key() -> None:
    check = check_of(public_key_of(SEALING))
    async with serving(saying(204)) as server, wired() as wire:
        door = Door(f"http://127.0.0.1:{server.port}/", KEYS, 1, seal=seal_of(SEALING))
        await post(wire, MESSAGE, door, at=AT)

    headers = headers_of(server.heads[0])
    items = dict(headers)["webhook-signature"].split(" ")
    assert [item.partition(",")[0] for item in items] == ["v1", "v1", "v1a"]
    assert verify([], seals=[check], headers=headers, body=BODY, now=int(AT.timestamp()))
    assert verify([KEYS[1]], headers=headers, body=BODY, now=int(AT.timestamp()))


async def test_the_digest_of_the_body_and_the_trace_go_along() -> None:
    message = Message("ntf_1", BODY, "application/cloudevents+json", TRACEPARENT)
    async with serving(saying(204)) as server, wired() as wire:
        await post(wire, message, Door(f"http://127.0.0.1:{server.port}/", KEYS, 1), at=AT)

    headers = dict(headers_of(server.heads[0]))
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    assert headers["content-digest"] == f"sha-256=:{digest}:"
    assert headers["traceparent"] == TRACEPARENT
    assert headers["content-type"] == "application/cloudevents+json"


async def test_the_body_goes_out_byte_for_byte() -> None:
    received = bytearray()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.readexactly(len(BODY)))
        writer.write(b"HTTP/1.1 204 X\r\n\r\n")

    outcome = await outcome_of(read)

    assert (bytes(received), outcome.result) == (BODY, "delivered")


@pytest.mark.parametrize(
    ("status", "result", "code"),
    [
        (200, "delivered", "http_200"),
        (302, "retry", "http_302"),
        (400, "dead", "http_400"),
        (401, "hold", "http_401"),
        (403, "hold", "http_403"),
        (410, "hold", "gone"),
        (429, "retry", "http_429"),
        (503, "retry", "http_503"),
    ],
)
async def test_an_answer_comes_to_its_outcome(status: int, result: str, code: str) -> None:
    outcome = await outcome_of(saying(status, body=b"why"))

    assert (outcome.result, outcome.code) == (result, code)
    assert (outcome.status_code, outcome.excerpt) == (status, "why")
    assert 0 <= outcome.duration_ms < 1000


def test_every_status_has_the_result_of_the_contract() -> None:
    expected = {
        **dict.fromkeys(range(100, 600), "retry"),
        **dict.fromkeys(range(200, 300), "delivered"),
        **dict.fromkeys(range(400, 500), "dead"),
        **dict.fromkeys((408, 425, 429), "retry"),
        **dict.fromkeys((401, 403, 410), "hold"),
    }

    assert {status: result_of(status) for status in expected} == expected


async def test_an_answer_that_never_comes_is_a_timeout_to_retry() -> None:
    outcome = await outcome_of(answering(b""), timeout_seconds=0.1)

    assert (outcome.result, outcome.code, outcome.status_code) == ("retry", "timeout", None)
    assert 100 <= outcome.duration_ms < 600


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_closed_port_is_retried(scheme: str) -> None:
    async with serving(saying(200)) as server:
        pass
    async with wired() as wire:
        outcome = await posted(wire, f"{scheme}://127.0.0.1:{server.port}/")

    assert (outcome.result, outcome.code) == ("retry", "connect_failed")


async def test_a_failing_tls_handshake_is_retried() -> None:
    async def not_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 plain\r\n\r\n")
        writer.close()

    async with wired() as wire:
        listener = await asyncio.start_server(not_tls, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        outcome = await posted(wire, f"https://127.0.0.1:{port}/")
        listener.close()

    assert (outcome.result, outcome.code) == ("retry", "tls_failed")


async def test_garbage_is_retried() -> None:
    outcome = await outcome_of(answering(b"\x00\x01\x02\r\n\r\n"))

    assert (outcome.result, outcome.code) == ("retry", "protocol_error")


async def test_a_refused_address_holds_the_lane_and_nothing_is_sent() -> None:
    async with serving(saying(200)) as server, wired(check_addresses=True) as wire:
        outcome = await posted(wire, f"http://localhost:{server.port}/")

    assert (outcome.result, outcome.code, outcome.status_code) == ("hold", "address_refused", None)
    assert server.connections == 0


@pytest.mark.parametrize(
    ("value", "seconds"), [("120", 120), ("Fri, 20 Nov 2026 14:31:00 GMT", 59), ("soon", None)]
)
async def test_retry_after_is_reported(value: str, seconds: float | None) -> None:
    outcome = await outcome_of(saying(503, f"retry-after: {value}"))

    assert outcome.retry_after_seconds == (seconds and pytest.approx(seconds, abs=0.01))


async def test_an_endless_answer_is_delivered_and_cut() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    outcome = await outcome_of(endless)

    assert (outcome.result, outcome.excerpt) == ("delivered", "x" * 2048)


async def test_a_compressed_answer_is_delivered_without_an_excerpt() -> None:
    outcome = await outcome_of(saying(200, "content-encoding: gzip", body=b"\x1f\x8bbomb"))

    assert (outcome.result, outcome.excerpt) == ("delivered", "")


async def test_an_outcome_tells_no_secret() -> None:
    outcome = await outcome_of(saying(401, body=b"bad signature"))

    for key in KEYS:
        assert key.hex() not in repr(astuple(outcome))
    assert "v1," not in repr(astuple(outcome))


@pytest.mark.parametrize(
    ("content", "excerpt"),
    [
        (b"", ""),
        (b"  two\r\n\tlines \n", "two lines"),
        (b"\x1b[31mred\x00\x7f", "[31mred"),
        ("turned\u202eround\u200b".encode(), "turnedround"),
        (b"bad \xff utf-8", "bad \ufffd utf-8"),
        (b"x" * 5000, "x" * 2048),
    ],
)
def test_an_excerpt_is_one_printable_line(content: bytes, excerpt: str) -> None:
    assert excerpt_of(content) == excerpt
