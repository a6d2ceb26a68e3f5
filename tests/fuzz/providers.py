"""Every adapter: the calls that come in, and the answers to all that it asks."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from service.domain.event import Call
from service.errors import (
    NotFoundThere,
    Refused,
    SettledError,
    Unauthorised,
    Unavailable,
    Unreadable,
)
from service.providers import (
    ChecksAccount,
    Exchange,
    HasList,
    NeedsSession,
    Provider,
    ReadsStatus,
    SendsWebhooks,
    Session,
    ShowsStatuses,
    TellsLimits,
)
from service.providers.bunq.signature import private_pem
from tests.fuzz.target import Target, joined, parts_of
from tests.providers.bunq_bodies import registered
from tests.providers.properties import check_answer, check_events, check_findings, check_page
from tests.providers.table import WORLDS
from tests.providers.test_contract import READS, TOLD, asked, kind_in
from tests.providers.world import RECORDED, recording

T = TypeVar("T")

SINCE = datetime(2025, 3, 3, tzinfo=UTC)
UNTIL = datetime(2025, 3, 4, tzinfo=UTC)
CALLS_MAX = 20  # of any one exchange
KEY_BITS = 1_024
WEBHOOK = "https://hooks.example.com/webhooks/test"

# The recordings of answers to a login.
LOGINS = ("token", "session", "installation", "device", "error_4")

# What an answer's status comes to in service/fetch.py, chosen by the first byte of a part.
STATUSES: Mapping[bytes, SettledError] = {
    b"\x01": NotFoundThere("http_404"),
    b"\x02": Unauthorised("http_403"),
    b"\x03": Unreadable("http_422"),
    b"\x04": Unavailable("http_503"),
}


def targets() -> Iterator[tuple[str, Target]]:
    for name, world in WORLDS.items():
        adapter = world.adapter(name)
        if isinstance(adapter, SendsWebhooks):
            bodies = [recording(name, file) for provider, file, _ in TOLD if provider == name]
            yield f"{name}.webhook", Target(partial(_verify, name, adapter), bodies)
        yield f"{name}.read", Target(partial(_read, name, adapter), _read_seeds(name))
        files = sorted((RECORDED / name).iterdir())
        answers = [path.read_bytes() for path in files]
        if isinstance(adapter, HasList):
            yield f"{name}.pages", Target(partial(_list, adapter), answers)
        if isinstance(adapter, ChecksAccount):
            yield f"{name}.check", Target(partial(_check, adapter), answers)
        if isinstance(adapter, NeedsSession):
            kept = _registered() if name == "bunq" else {}
            logins = [path.read_bytes() for path in files if path.name.startswith(LOGINS)]
            logins += [joined(login, login) for login in logins]
            # Before an answer is read its question is signed with bunq's key, which takes long.
            yield (
                f"{name}.session",
                Target(partial(_open, adapter, kept), logins, is_slow=bool(kept)),
            )
        if isinstance(adapter, TellsLimits | ReadsStatus):
            yield f"{name}.status", Target(partial(_status, adapter), STATUS_SEEDS)


def _registered() -> Mapping[str, str]:
    """What bunq's log-in needs, with a key so short that signing does not take all the time."""
    key = generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    return {**registered(), "private_key": private_pem(key)}


def _verify(name: str, adapter: Provider, body: bytes) -> None:
    """A body whose signature is right, as whoever holds the secret may send anything."""
    assert isinstance(adapter, SendsWebhooks)
    call = Call(dict(WORLDS[name].headers(body)), body, received_at=SINCE)
    with suppress(Refused):
        check_events(adapter, adapter.verify(call))


def _read_seeds(name: str) -> list[bytes]:
    rows = [(file, row) for provider, file, row in READS if provider == name]
    return [
        joined(recording(name, file), *(recording(name, other) for other in row.others.values()))
        for file, row in rows
    ]


def _read(name: str, adapter: Provider, data: bytes) -> None:
    """The last byte says which of the recorded requests is read."""
    rows = [(file, row) for provider, file, row in READS if provider == name]
    file, row = rows[data[-1] % len(rows) if data else 0]
    exchange = adapter.read(kind_in(name, row), asked(name, file, row), None)
    _outcome(exchange, data, check_answer)


def _list(adapter: Provider, data: bytes) -> None:
    assert isinstance(adapter, HasList)
    _outcome(adapter.list_page(SINCE, UNTIL, None), data, partial(check_page, adapter))
    if isinstance(adapter, ShowsStatuses):
        _outcome(adapter.look_through(SINCE, None), data, partial(check_page, adapter))


def _check(adapter: Provider, data: bytes) -> None:
    assert isinstance(adapter, ChecksAccount)
    _outcome(adapter.check(WEBHOOK), data, check_findings)


def _open(adapter: Provider, kept: Mapping[str, str], data: bytes) -> None:
    """kept is what earlier steps left: bunq's first one makes a key, which takes long.

    An even number of parts answers its second step, the registration of a device.
    """
    assert isinstance(adapter, NeedsSession)
    needs_session = adapter
    if len(parts_of(data)) % 2 == 0:
        kept = {name: text for name, text in kept.items() if name != "device_id"}

    def can_be_used(session: Session) -> None:
        assert session.expires_in_seconds >= 0
        if session.expires_in_seconds:
            request = httpx.Request("GET", "https://provider.example.com/x")
            sent = needs_session.authorise(request, session)
            assert all(value.isprintable() for value in sent.headers.values())

    _outcome(adapter.open_session(kept), data, can_be_used)


STATUS_SEEDS = [
    joined(b"429", b"retry-after: 7\nratelimit-remaining: 0\nratelimit-reset: 60", b"{}"),
    joined(b"403", b"date: Sun, 06 Nov 1994 08:49:37 GMT", b'{"error": {"code": 403}}'),
    joined(b"466", b"x: y", b'{"Error": [{"error_description": "no"}]}'),
]


def _status(adapter: Provider, data: bytes) -> None:
    """A status, header lines and a body, for the adapters that make something of them."""
    status, head, body, *_ = [*parts_of(data), b"", b"", b""]
    lines = [line.partition(b": ") for line in head.split(b"\n")]
    headers = [(name, value) for name, _, value in lines if name.isalnum() and value.isascii()]
    code = int(status) if status.isdigit() and len(status) == 3 else 429
    response = httpx.Response(code, headers=headers, content=body)
    if isinstance(adapter, TellsLimits):
        seconds = adapter.wait_seconds(response, now=SINCE)
        assert seconds is None or 0 <= seconds < float("inf")
    if isinstance(adapter, ReadsStatus):
        assert isinstance(adapter.error_for(response), SettledError | None)


def _outcome(exchange: Exchange[T], data: bytes, check: Callable[[T], None]) -> None:
    """Answer with one part after the other, the last one for ever; check what comes of it.

    Nothing may be raised but our own errors, and no call leave the place that is configured.
    """
    parts = parts_of(data)
    calls = 0
    try:
        request = next(exchange)
        while True:
            assert request.url.host.endswith(".example"), request.url
            part = parts[min(calls, len(parts) - 1)]
            calls += 1
            assert calls <= CALLS_MAX
            if (error := STATUSES.get(part[:1])) is not None:
                request = exchange.throw(error)
            else:
                request = exchange.send(httpx.Response(200, content=part, request=request))
    except StopIteration as done:
        check(done.value)
    except (NotFoundThere, Unauthorised, Unavailable, Unreadable):
        return
