"""What a poisoned link does, seen from both of its ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.bench.processes import free_port
from tests.endurance.proxy import CUT_BYTES, Link, Toxic, tcp

ANSWER = b"x" * 100
TRIES = 40  # enough that a share of answers is struck, and another is not


class There:
    """A server that answers each piece, and remembers it."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.heard_twice = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(1000):
                self.heard.append(data)
                if len(self.heard) == 2:
                    self.heard_twice.set()
                writer.write(ANSWER)
        writer.close()


@asynccontextmanager
async def linked() -> AsyncIterator[tuple[There, Link]]:
    there, port = There(), free_port()
    server = await asyncio.start_server(there.serve, "127.0.0.1", port)
    link = Link("link", free_port(), tcp(port), seed=1)
    async with link.listening():
        yield there, link
    server.close()


async def ask(link: Link) -> bytes:
    """Ask over a new connection; return what came of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    answer = b""
    with suppress(ConnectionError):
        writer.write(b"question")
        while len(answer) < len(ANSWER) and (piece := await reader.read(1000)):
            answer += piece
    writer.close()
    return answer


async def test_a_link_carries_what_it_is_given_until_it_is_poisoned_and_once_it_is_healed() -> None:
    async with linked() as (there, link):
        assert await ask(link) == ANSWER
        link.poison(Toxic.RESET)
        assert await ask(link) == b""
        await link.heal()
        assert await ask(link) == ANSWER
        assert there.heard == [b"question"] * 2
        assert link.struck == 1


async def test_an_answer_is_dropped_after_the_request_has_arrived() -> None:
    async with linked() as (there, link):
        link.poison(Toxic.DROP_ANSWER)
        answers = [await ask(link) for _ in range(TRIES)]

    assert len(there.heard) == TRIES
    assert answers.count(b"") == link.struck
    assert 0 < link.struck < TRIES


async def test_an_answer_is_cut_in_the_middle() -> None:
    async with linked() as (there, link):
        link.poison(Toxic.CUT)
        answers = {await ask(link) for _ in range(TRIES)}

    assert len(there.heard) == TRIES
    assert {len(answer) for answer in answers} == {CUT_BYTES, len(ANSWER)}


async def test_a_request_arrives_twice_and_is_answered_once() -> None:
    async with linked() as (there, link):
        link.poison(Toxic.DUPLICATE)
        assert await ask(link) == ANSWER
        await there.heard_twice.wait()

    assert there.heard == [b"question"] * 2


async def test_a_black_hole_holds_what_it_took_until_it_is_gone() -> None:
    async with linked() as (there, link):
        link.poison(Toxic.BLACKHOLE)
        asking = asyncio.create_task(ask(link))
        await link.holding.wait()
        assert not there.heard
        await link.heal()
        assert await asking == ANSWER


async def test_a_link_that_refuses_takes_no_connection_and_ends_those_it_has() -> None:
    async with linked() as (_, link):
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"question")
        await reader.read(1)
        link.poison(Toxic.REFUSE)
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        with pytest.raises(ConnectionRefusedError):
            await ask(link)
        writer.close()


async def test_latency_only_delays() -> None:
    async with linked() as (_, link):
        link.poison(Toxic.LATENCY)

        assert await ask(link) == ANSWER
        assert link.struck == 2
