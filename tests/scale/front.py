"""What stands in front of several receivers: takes turns, and notes what each webhook was told."""

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from yarl import URL

# The header fields that are about one connection, not about what is passed on.
HOP_BY_HOP = ("host", "connection", "content-length", "transfer-encoding")
BODY_BYTES_MAX = 2 * 1024 * 1024
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """A webhook that a receiver answered with 2xx."""

    account: str
    body: bytes


class Front:
    """Hands each call to the next receiver; one that takes no connection is passed over.

    A call that broke off is answered 502 and not repeated: whether it was stored nobody knows.
    answers_early is a defect to plant: a webhook is answered 204 whatever the receiver does.
    """

    def __init__(self, receivers: Sequence[str], *, answers_early: bool = False) -> None:
        self.accepted: list[Accepted] = []
        self.answers: Counter[int] = Counter()  # of receivers to webhooks, by status
        self.broken_off = 0
        self._answers_early = answers_early
        self._receivers = receivers
        self._turns = itertools.cycle(receivers)

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[None]:
        """Listen while the block lasts."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_route("*", "/{rest:.*}", self._pass_on)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        try:
            async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as client:
                self._client = client
                await web.TCPSite(runner, host, port).start()
                yield
        finally:
            await runner.cleanup()

    async def _pass_on(self, call: web.Request) -> web.Response:
        body = await call.read()
        for _ in self._receivers:
            try:
                answer = await self._ask(next(self._turns), call, body)
            except aiohttp.ClientConnectorError:
                continue
            except (aiohttp.ClientError, TimeoutError):
                self.broken_off += 1
                break
            return self._note(call.path, body, answer)
        return self._note(call.path, body, web.Response(status=502))

    async def _ask(self, receiver: str, call: web.Request, body: bytes) -> web.Response:
        url = URL(receiver + call.raw_path, encoded=True)
        headers = {
            name: value for name, value in call.headers.items() if name.lower() not in HOP_BY_HOP
        }
        async with self._client.request(call.method, url, data=body, headers=headers) as answer:
            content_type = answer.headers.get("content-type", "text/plain")
            return web.Response(
                status=answer.status,
                body=await answer.read(),
                headers={"content-type": content_type},
            )

    def _note(self, path: str, body: bytes, answer: web.Response) -> web.Response:
        """Note what a webhook is going to be told; return that."""
        _, first, *rest = path.split("/")
        if first != "webhooks":
            return answer
        self.answers[answer.status] += 1
        if self._answers_early:
            answer = web.Response(status=204)
        if 200 <= answer.status < 300:
            self.accepted.append(Accepted(rest[0], body))
        return answer
