"""A provider that strangers lie about: it knows few orders, and notes what it is asked and when."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.bench.load import PROJECT_ID
from tests.bench.stub import ORDER

CREATED_AT = b"2026-11-20T14:30:59.000000+00:00"


@dataclass(frozen=True)
class Asked:
    """A call as it arrived; at is monotonic."""

    at: float
    path: str

    @property
    def is_list(self) -> bool:
        return self.path.partition("?")[0].endswith("/v1/orders/")

    @property
    def order_id(self) -> str:
        """Return the order that was asked for, "" for a list of them."""
        last = self.path.partition("?")[0].rstrip("/").rpartition("/")[2]
        return "" if self.is_list else last


@dataclass
class Provider:
    """Answers orders as Ginger does. answers hold the body of each order that there is."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, account: str) -> list[Asked]:
        """Return the calls of an account, whose address here ends in its name."""
        return [each for each in [*self.asked] if each.path.startswith(f"/{account}/")]

    def pays(self, order_id: str) -> None:
        """Have an order be completed and paid from now on."""
        facts = {b"id": order_id.encode(), b"project": PROJECT_ID.encode(), b"at": CREATED_AT}
        self.answers[order_id] = ORDER % facts

    def awaits(self, order_id: str) -> None:
        """Have an order wait for its payer."""
        self.pays(order_id)
        paid = self.answers[order_id]
        self.answers[order_id] = paid.replace(b'"completed"', b'"new"').replace(
            b'"modified":"' + CREATED_AT, b'"modified":"' + CREATED_AT.replace(b":59", b":10")
        )

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Answer while the block lasts, each connection in a thread of its own."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                asked = Asked(time.monotonic(), self.path)
                provider.asked.append(asked)
                body = b"[]" if asked.is_list else provider.answers.get(asked.order_id)
                self.send_response(200 if body is not None else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body or b"{}")))
                self.end_headers()
                self.wfile.write(body or b"{}")

            def log_message(self, *_: object) -> None:
                """What was asked stands in `asked`."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()
