"""Runs an adapter's exchange by hand: each request it yields gets an answer written down here."""

import json
from collections.abc import Callable, Mapping
from typing import TypeVar

import httpx

from service.errors import NotFoundThere, SettledError
from service.providers import Exchange

T = TypeVar("T")

# Gives the body for a request, None for 404.
Responder = Callable[[httpx.Request], bytes | None]

# Gives what any other status comes to as well.
FallibleResponder = Callable[[httpx.Request], bytes | SettledError | None]


def run(exchange: Exchange[T], answer: FallibleResponder) -> tuple[T, list[httpx.Request]]:
    """Return what the exchange came to and the requests that it made."""
    requests: list[httpx.Request] = []
    try:
        request = next(exchange)
        while True:
            requests.append(request)
            body = answer(request)
            if body is None:
                request = exchange.throw(NotFoundThere("http_404"))
            elif isinstance(body, SettledError):
                request = exchange.throw(body)
            else:
                request = exchange.send(httpx.Response(200, content=body, request=request))
    except StopIteration as done:
        return done.value, requests


def always(body: bytes) -> Responder:
    return lambda request: body


def at_paths(bodies: Mapping[str, object]) -> Responder:
    """Answer by path and query, such as "/v1/orders/"; 404 elsewhere. Bodies become JSON."""

    def answer(request: httpx.Request) -> bytes | None:
        body = bodies.get(request.url.raw_path.decode())
        return body if body is None or isinstance(body, bytes) else json.dumps(body).encode()

    return answer
