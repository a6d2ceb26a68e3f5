"""A link that lies: what goes through it may come late, twice, in part, or not at all."""

import asyncio
import random
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum

# What of an answer comes through before it is cut.
CUT_BYTES = 20
# The share of answers that are cut or dropped: whoever connects anew gets through now and then.
STRUCK_SHARE = 0.3
LATENCY_SECONDS = (0.05, 0.5)
CHUNK_BYTES = 65_536

Connect = Callable[[], Awaitable[tuple[StreamReader, StreamWriter]]]


class Toxic(StrEnum):
    """What a link may do to what goes through it."""

    LATENCY = "latency"  # each piece waits a moment
    BLACKHOLE = "blackhole"  # taken and held until the toxic is gone
    RESET = "reset"  # every connection is reset as soon as something comes
    CUT = "cut"  # an answer ends after some bytes
    DROP_ANSWER = "drop_answer"  # the request arrives, its answer does not
    DUPLICATE = "duplicate"  # the request arrives twice
    REFUSE = "refuse"  # nobody listens


class _Broken(Exception):
    """The connection is to end, abruptly."""


class Link:
    """One port of ours that leads to a server; poisoned, it goes wrong.

    struck counts how often it did; holding is set once a black hole has taken something.
    """

    def __init__(self, name: str, port: int, connect: Connect, *, seed: int) -> None:
        self.name = name
        self.port = port
        self.struck = 0
        self.holding = asyncio.Event()
        self.toxic: Toxic | None = None
        self._connect = connect
        self._draw = random.Random(f"{seed}:{name}")
        self._healed = asyncio.Event()
        self._open: dict[asyncio.Task[None], StreamWriter] = {}
        self._server: asyncio.Server | None = None

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen while the block lasts."""
        await self._listen()
        try:
            yield
        finally:
            self._refuse()
            self._healed.set()
            await asyncio.gather(*self._open)

    def poison(self, toxic: Toxic) -> None:
        """Go wrong in this way from now on, for connections that are open as well."""
        self.toxic = toxic
        self._healed.clear()
        if toxic is Toxic.REFUSE:
            self.struck += 1
            self._refuse()

    async def heal(self) -> None:
        """Let everything pass from now on; what a black hole held goes on its way."""
        self.toxic = None
        self._healed.set()
        if self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open.values():
            _reset(writer)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Carry one connection to its end."""
        ends, task = [writer], asyncio.current_task()
        assert task is not None, "a server runs it as a task"
        self._open[task] = writer
        try:
            there, back = await self._connect()
            ends.append(back)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, back, is_answer=False))
                group.create_task(self._carry(there, writer, is_answer=True))
        except (OSError, ExceptionGroup):
            for end in ends:
                _reset(end)
        finally:
            del self._open[task]
            for end in ends:
                end.close()

    async def _carry(self, reader: StreamReader, writer: StreamWriter, *, is_answer: bool) -> None:
        """Carry one direction until its end, which ends the other one too."""
        while data := await reader.read(CHUNK_BYTES):
            await self._strike(data, writer, is_answer=is_answer)
            writer.write(data)
            await writer.drain()
        writer.close()
        raise _Broken

    async def _strike(self, data: bytes, writer: StreamWriter, *, is_answer: bool) -> None:
        """Do to a piece what the toxic does; raises _Broken where that ends the connection."""
        if self.toxic is None:
            return
        by_chance = is_answer and self._draw.random() < STRUCK_SHARE
        match self.toxic:
            case Toxic.LATENCY:
                await asyncio.sleep(self._draw.uniform(*LATENCY_SECONDS))
            case Toxic.BLACKHOLE:
                self.holding.set()
                await self._healed.wait()
            case Toxic.CUT if by_chance:
                writer.write(data[:CUT_BYTES])
                await writer.drain()
                writer.close()
                self.struck += 1
                raise _Broken
            case Toxic.RESET:
                self.struck += 1
                raise _Broken
            case Toxic.DROP_ANSWER if by_chance:
                self.struck += 1
                raise _Broken
            case Toxic.DUPLICATE if not is_answer:
                await self._send_apart(data)
            case _:
                return
        self.struck += 1

    async def _send_apart(self, data: bytes) -> None:
        """Send a request over a connection of its own; nobody waits for the answer."""
        _, writer = await self._connect()
        writer.write(data)
        await writer.drain()
        writer.close()


def tcp(port: int) -> Connect:
    """Return what connects to a port of this machine."""
    return lambda: asyncio.open_connection("127.0.0.1", port)


def unix(path: str) -> Connect:
    """Return what connects to a socket in the file system."""
    return lambda: asyncio.open_unix_connection(path)


def _reset(writer: StreamWriter) -> None:
    """End a connection with a reset, where it has such a thing."""
    connection = writer.get_extra_info("socket")
    if not writer.is_closing() and connection.family == socket.AF_INET:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
