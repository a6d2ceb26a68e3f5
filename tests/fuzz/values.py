"""Values that strangers write: JSON, signatures, headers, cursors, cookies and forms."""

import asyncio
import base64
import json
import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.types import Message

from service.domain.event import Call
from service.domain.redaction import LINES_MAX, redact, redact_answer
from service.domain.retry import http_date_in, parse_retry_after
from service.domain.signature import key_of, sign, verify
from service.domain.strict_json import NotStrict, parse
from service.domain.trace import traceparent_of
from service.errors import BadSignature, Malformed, Refused
from service.providers import SendsWebhooks
from service.settings import ApiKey, Secret
from service.storage.views.reading import Position
from service.web.api.query import Query, cursor_of
from service.web.console.forms import read_form
from service.web.console.session import new_cookie, session_of
from service.web.security import identify
from service.web.webhooks import headers_of, source_of
from tests.fuzz.target import Target, joined, parts_of
from tests.providers.table import WORLDS
from tests.providers.world import RECORDED

VECTORS = Path(__file__).parents[1] / "vectors"
NOW = datetime(2026, 11, 20, 14, 31, 2, tzinfo=UTC)
TIMESTAMP = int(NOW.timestamp())
KEY = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
API_KEY = ApiKey(name="ops", key=Secret("key-of-an-operator"), role="operator")


def targets() -> dict[str, Target]:
    cursor = cursor_of(Position(NOW, "ord_01kaxyz")).encode()
    signed = sign([KEY], notification_id="ntf_1", timestamp=TIMESTAMP, body=b"{}")
    return {
        "json": Target(_json, [b'{"a": [1, -2.50, 1e3, "\\u00e9", null, true]}', b"[[[]]]"]),
        "signature.standard_webhooks": Target(
            _standard_webhooks, [joined(b"ntf_1", str(TIMESTAMP).encode(), signed.encode(), b"{}")]
        ),
        "signature.gocardless": Target(_gocardless, _vectors("gocardless")),
        "signature.bunq": Target(_bunq, _vectors("bunq")),
        "retry_after": Target(
            _retry_after,
            [b"120", b"Fri, 20 Nov 2026 14:31:02 GMT", b"Friday, 20-Nov-26 14:31:02 +0100"],
        ),
        "traceparent": Target(
            _traceparent, [b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]
        ),
        "cursor": Target(_cursor, [cursor, b"MTc2MzY0OTA2MjAwMDAwMC5vcmRfMDE"]),
        "query": Target(
            _query, [b"limit=5&status=paid&updated_since=2026-11-20T14:31:02Z&cursor=" + cursor]
        ),
        "source": Target(_source, [b"x-forwarded-for: 192.0.2.1, ::ffff:10.0.0.1\nvia: a\nvia: b"]),
        "api_key": Target(_api_key, [b"Bearer key-of-an-operator", b"bearer  x"]),
        "session_cookie": Target(_cookie, [new_cookie(API_KEY, now=NOW).encode()]),
        "redaction": Target(_redaction, _kept_bodies()),
        "form": Target(_form, [b"reason=seen+to&key=%C3%A9&all=1&all=2"]),
    }


def _vectors(provider: str) -> list[bytes]:
    told = json.loads((VECTORS / f"{provider}_signatures.json").read_text("utf-8"))
    return [
        joined((one["header_value"] or "").encode("latin-1"), base64.b64decode(one["body_base64"]))
        for one in told["vectors"]
    ]


def _kept_bodies() -> list[bytes]:
    """What providers sent, as it came and as answers to two calls are kept."""
    bodies = [path.read_bytes() for path in sorted(RECORDED.glob("*/*.json"))]
    return [*bodies, *(_kept(one) + _kept(one) for one in bodies[::10])]


def _kept(answer: bytes) -> bytes:
    return b"GET /v1/orders/7?page=2 200 %d\n%b\n" % (len(answer), answer)


def _json(data: bytes) -> None:
    """What is read is what the standard library reads, and can be stored."""
    try:
        value = parse(data)
    except NotStrict:
        return
    assert value == json.loads(data, parse_float=Decimal)
    json.dumps(value, default=str, allow_nan=False).encode()


def _standard_webhooks(data: bytes) -> None:
    """Only what KEY signs is accepted, however it is spelled."""
    id_, timestamp, signature, body, *_ = [*parts_of(data), b"", b"", b""]
    texts = [part.decode("latin-1") for part in (id_, timestamp, signature)]
    names = ("webhook-id", "Webhook-Timestamp", "webhook-signature")
    if not verify([KEY], headers=list(zip(names, texts, strict=True)), body=body, now=TIMESTAMP):
        return
    ours = sign([KEY], notification_id=texts[0], timestamp=int(texts[1]), body=body)
    assert ours in texts[2].split(" ")


def _gocardless(data: bytes) -> None:
    _accepted_only_as_in_vectors("gocardless", "webhook-signature", data)


def _bunq(data: bytes) -> None:
    _accepted_only_as_in_vectors("bunq", "x-bunq-server-signature", data)


def _accepted_only_as_in_vectors(provider: str, header: str, data: bytes) -> None:
    """A signature that is taken is that of a vector, byte for byte: nobody can make another."""
    value, body, *_ = [*parts_of(data), b""]
    adapter = WORLDS[provider].adapter(provider)
    assert isinstance(adapter, SendsWebhooks)
    try:
        adapter.verify(Call({header: value.decode("latin-1")}, body, received_at=NOW))
    except BadSignature:
        return
    except Malformed:
        pass  # the signature is right, the body none of the provider's
    assert joined(value, body) in _vectors(provider)


def _retry_after(data: bytes) -> None:
    text = data.decode("latin-1")
    seconds = parse_retry_after(text, now=NOW)
    assert seconds is None or (seconds >= 0 and math.isfinite(seconds))
    at = http_date_in(text)
    assert at is None or at.tzinfo is not None


def _traceparent(data: bytes) -> None:
    carried = traceparent_of(data.decode("latin-1"))
    assert carried is None or (len(carried) == 55 and traceparent_of(carried) == carried)


def _cursor(data: bytes) -> None:
    """A cursor is refused, or leads to a position whose own cursor leads there too."""
    try:
        position = _query_of(data, "cursor").cursor()
    except Malformed:
        return
    if position is not None:
        assert position.at.tzinfo is UTC
        again = _query_of(b"cursor=" + cursor_of(position).encode(), "cursor").cursor()
        assert again == position


def _query(data: bytes) -> None:
    names = ("limit", "status", "updated_since", "cursor", "q")
    with suppress(Malformed):
        query = _query_of(data, *names)
        text, at = query.text("q"), query.time("updated_since")
        assert text is None or text.isprintable()
        assert at is None or at.utcoffset() == timedelta(0)
        assert query.word("status", ["paid", "open"]) in (None, "paid", "open")
        assert 1 <= query.limit() <= 500
        query.cursor()


def _query_of(query: bytes, *names: str) -> Query:
    given = query if b"=" in query else b"cursor=" + query
    return Query(Request({"type": "http", "query_string": given, "headers": []}), *names)


def _source(data: bytes) -> None:
    """Header lines of anybody, behind a proxy that is trusted."""
    lines = [line.partition(b": ") for line in data.split(b"\n")]
    scope: dict[str, Any] = {"type": "http", "client": ("127.0.0.1", 7)}
    with suppress(Refused):
        headers = headers_of((name.lower(), value) for name, _, value in lines)
        source = source_of(scope, headers, ("127.0.0.1", "10.0.0.0/8"))
        assert source is not None


def _api_key(data: bytes) -> None:
    with suppress(Refused):
        text = data.decode("latin-1")
        identify(text, [API_KEY])
        scheme, key = text.split()
        assert (scheme.lower(), key) == ("bearer", API_KEY.key.reveal())


def _cookie(data: bytes) -> None:
    """Whoever comes in holds a cookie with our signature, which the fuzzer cannot make."""
    text = data.decode("latin-1")
    if session_of(text, [API_KEY], now=NOW) is not None:
        assert json.loads(base64.urlsafe_b64decode(text.split(".")[0] + "=="))["key"] == "ops"


def _redaction(data: bytes) -> None:
    """What is shown of anything prints and has an end."""
    for shown in (redact(data), *redact_answer(data)):
        lines = shown.text.split("\n")
        assert len(lines) <= LINES_MAX + 1
        assert all(line.isprintable() for line in lines)
        assert (shown.about + shown.problem).isprintable()


def _form(data: bytes) -> None:
    sent = [(b"content-type", b"application/x-www-form-urlencoded")]

    async def receive() -> Message:
        return {"type": "http.request", "body": data}

    request = Request({"type": "http", "method": "POST", "headers": sent}, receive)
    with suppress(Refused):
        form = asyncio.run(read_form(request))
        assert form.text("reason", characters_max=200).isprintable()
