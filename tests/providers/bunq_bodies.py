"""What bunq's tests are made of: adapters, bodies, reads and openings, ordinary by default."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from service.domain.event import Call, Event
from service.domain.request import Facts, Kind, Observation
from service.domain.status import Status
from service.providers import AccountContext, Session
from service.providers.bunq import Bunq, BunqKeys
from tests.providers.exchange import at_paths, run
from tests.providers.table_bunq import (
    ACCOUNT_ID,
    ACCOUNT_PATH,
    BUNQ,
    INQUIRY,
    PAYMENTS_PATH,
)
from tests.providers.world import recording

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "bunq_signatures.json").read_text("utf-8")
)
INQUIRY_PATH = f"{ACCOUNT_PATH}/request-inquiry/{INQUIRY}"
LIST_PATH = f"{ACCOUNT_PATH}/request-inquiry?count=200"
SIGNATURE = "x-bunq-server-signature"
SINCE = datetime(2025, 3, 3, tzinfo=UTC)
UNTIL = datetime(2025, 3, 4, tzinfo=UTC)
EMPTY: dict[str, Any] = {"Response": []}
every_vector = pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda one: one["name"])


def bunq(
    *, words: Mapping[str, Status] | None = None, reference_from: str | None = None, **keys: Any
) -> Bunq:
    """An adapter with the keys of the recordings, but for those given."""
    assert isinstance(BUNQ.keys, BunqKeys)
    context = AccountContext("test", words or {}, live=False, reference_from=reference_from)
    numbers = count(1)
    return Bunq(
        msgspec.structs.replace(BUNQ.keys, **keys),
        context,
        new_request_id=lambda: f"request-{next(numbers)}",
    )


def inquiry(file: str = "accepted", **fields: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(recording("bunq", f"request_inquiry_{file}.json"))
    answer["Response"][0]["RequestInquiry"] |= fields
    return answer


def euros(value: str) -> dict[str, str]:
    return {"value": value, "currency": "EUR"}


def payment(number: int, value: str = "-25.00", **fields: Any) -> dict[str, Any]:
    """A payment with the reference of the accepted request, a day after it was paid."""
    ordinary = {
        "id": number,
        "created": "2025-03-04 09:00:00.000001",
        "amount": euros(value),
        "merchant_reference": "SO-10042",
    }
    return {"Payment": ordinary | fields}


def shown(file: str = "accepted", **fields: Any) -> dict[str, Any]:
    """A request inquiry as one item of an answer."""
    item: dict[str, Any] = inquiry(file, **fields)["Response"][0]
    return item


def paged(*items: dict[str, Any], older: str | None = None) -> dict[str, Any]:
    return {"Response": list(items), "Pagination": {"older_url": older}}


def read(
    shown: dict[str, Any],
    *payments: dict[str, Any],
    adapter: Bunq | None = None,
    known: Facts | None = None,
    paths: Mapping[str, object] | None = None,
) -> Observation:
    bodies = {INQUIRY_PATH: shown, PAYMENTS_PATH: paged(*payments), **(paths or {})}
    exchange = (adapter or bunq()).read(Kind.REQUEST_INQUIRY, INQUIRY, known)
    answer, _ = run(exchange, at_paths(bodies))
    assert isinstance(answer, Observation)
    return answer


def verify(body: bytes, adapter: Bunq | None = None, **headers: str) -> Event:
    call = Call({name.replace("_", "-"): text for name, text in headers.items()}, body, SINCE)
    (event,) = (adapter or bunq()).verify(call)
    return event


def call_about(name: str, thing: object, **envelope: Any) -> bytes:
    ordinary = {"category": "REQUEST", "event_type": "REQUEST_INQUIRY_ACCEPTED"}
    body = {"NotificationUrl": ordinary | {"object": {name: thing}} | envelope}
    return json.dumps(body).encode()


def call_about_inquiry(**fields: Any) -> bytes:
    thing = {"id": int(INQUIRY), "monetary_account_id": ACCOUNT_ID}
    return call_about("RequestInquiry", thing | fields)


def entry(number: int, *, created: str = "2025-03-03", updated: str = "2025-03-03") -> Any:
    """As much of a request in a list as a window looks at."""
    return {"id": number, "created": f"{created} 12:00:00", "updated": f"{updated} 12:00:00"}


Opened = tuple[Mapping[str, str], list[httpx.Request]]


@cache
def opened() -> Opened:
    """Open a first session; made once for all tests, because making keys takes long."""
    return opened_from({}, bunq())


def opened_from(kept: Mapping[str, str], adapter: Bunq) -> Opened:
    """Make steps until there is a session; return what it keeps and the calls it took."""
    calls: list[httpx.Request] = []
    while True:
        session, requests = step(kept, adapter)
        calls += requests
        kept = session.values
        if session.expires_in_seconds:
            return kept, calls


def registered() -> Mapping[str, str]:
    """What is kept before the first log-in."""
    return {name: text for name, text in opened()[0].items() if name != "session_token"}


def step(kept: Mapping[str, str], adapter: Bunq) -> tuple[Session, list[httpx.Request]]:
    names = ("installation", "device_server", "session_server")
    answers = {
        f"/v1/{name.replace('_', '-')}": recording("bunq", f"{name}_response.json")
        for name in names
    }
    return run(adapter.open_session(kept), at_paths(answers))


def a_session() -> Session:
    return Session(opened()[0], 604_800.0)
