"""A provider and an ERP that cost next to nothing, in one process: `python -m tests.bench.stub`.

The sandbox would do, but it has a ledger to look up, a signature to check and a notification to
keep for each call, on the cores that what is measured needs. And the stub knows every order that it
is asked for, so the load generator makes them up as it goes.

GET  /v1/orders/{id}/    the order asked for, completed and paid; after the delay
GET  /v1/orders/?...     no orders
POST /erp                204; the message is kept with the time of its arrival
POST /hang               never an answer
POST /reset?delay_ms=N   forgets all messages and sets the provider's delay
GET  /count, /messages   how many messages came; all of them
"""

import asyncio
import sys
import time
from http.client import HTTPConnection

import httptools
import msgspec
import uvloop

from tests.bench.load import PROJECT_ID

MODIFIED = b"2026-11-20T14:30:59.000000+00:00"

ORDER = (
    b'{"id":"%(id)b","amount":4000,"currency":"EUR","status":"completed","merchant_id":"m-1",'
    b'"merchant_order_id":"INV-%(id)b","project_id":"%(project)b","created":"%(at)b",'
    b'"modified":"%(at)b","completed":"%(at)b","description":"An order","transactions":[{'
    b'"id":"t-1","order_id":"%(id)b","amount":4000,"currency":"EUR","status":"completed",'
    b'"credit_debit":"credit","payment_method":"ideal","created":"%(at)b","completed":"%(at)b"}]}'
)


class Message(msgspec.Struct, frozen=True):
    """A message that the ERP got: about a request, or about an order with only a reference."""

    at: float
    id: str
    type: str
    order_id: str | None


class Stub:
    """Speaks with a running stub."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port

    def reset(self, *, delay_ms: int = 0) -> None:
        self._call("POST", f"/reset?delay_ms={delay_ms}")

    def count(self) -> int:
        return int(self._call("GET", "/count"))

    def messages(self) -> list[Message]:
        return msgspec.json.decode(self._call("GET", "/messages"), type=list[Message])

    def _call(self, method: str, path: str) -> bytes:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30.0)
        connection.request(method, path)
        body = connection.getresponse().read()
        connection.close()
        return body


class World:
    """What the stub knows: the delay, and the messages as they arrived."""

    def __init__(self) -> None:
        self.delay_seconds = 0.0
        self.arrived: list[tuple[float, bytes]] = []

    def messages(self) -> list[Message]:
        return [_message_of(at, body) for at, body in self.arrived]


class Connection(asyncio.Protocol):
    """One connection; answers go out in the order of the calls, as there is one at a time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        url, self._url = self._url, b""
        body, self._body = b"".join(self._body), []
        if url == b"/erp":
            self._world.arrived.append((time.monotonic(), body))
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        elif url == b"/hang":
            pass
        elif url.startswith(b"/v1/orders/"):
            self._answer_order(url)
        else:
            self._answer(self._steer(url))

    def _answer_order(self, url: bytes) -> None:
        order_id = url.removeprefix(b"/v1/orders/").partition(b"?")[0].rstrip(b"/")
        facts = {b"id": order_id, b"project": PROJECT_ID.encode(), b"at": MODIFIED}
        order = ORDER % facts if order_id else b"[]"
        if self._world.delay_seconds:
            self._loop.call_later(self._world.delay_seconds, self._answer, order)
        else:
            self._answer(order)

    def _steer(self, url: bytes) -> bytes:
        if url.startswith(b"/reset"):
            self._world.arrived.clear()
            self._world.delay_seconds = int(url.rpartition(b"=")[2]) / 1000
            return b"{}"
        if url == b"/count":
            return str(len(self._world.arrived)).encode()
        return msgspec.json.encode(self._world.messages())

    def _answer(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._transport.write(head % len(body) + body)


def _message_of(at: float, body: bytes) -> Message:
    message = msgspec.json.decode(body)
    provider = message["data"].get("provider")
    return Message(at, message["id"], message["type"], provider and provider["id"])


async def serve(port: int) -> None:
    world = World()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(world), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
