"""bunq: whatever is sent or answered, nothing comes out but a refusal or something in our words."""

import base64
import re
from datetime import UTC
from typing import TypeVar

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.event import Call
from service.domain.request import Kind, Observation, Unmapped
from service.errors import (
    BadSignature,
    NotFoundThere,
    Refused,
    SettledError,
    Unauthorised,
    Unreadable,
)
from service.providers import Exchange, Finding, Page
from service.providers.bunq import Bunq
from service.providers.bunq.handshake import SESSION_SECONDS_MAX
from tests.providers.bunq_bodies import (
    SIGNATURE,
    SINCE,
    UNTIL,
    VECTORS,
    bunq,
    opened,
    registered,
)
from tests.providers.table_bunq import INQUIRY
from tests.providers.test_contract import mutated
from tests.providers.world import RECORDED, recording

T = TypeVar("T")

CALLS_MAX = 4  # of any one exchange
FILES = sorted(path.name for path in (RECORDED / "bunq").iterdir())
CALLBACKS = [name for name in FILES if name.startswith("callback_")]
LISTS = [name for name in FILES if "_list_" in name]
HANDSHAKE = ["installation_response.json", "device_server_response.json"]
HANDSHAKE += ["session_server_response.json"]
SIGNATURES = [one["header_value"] for one in VECTORS["vectors"] if one["header_value"] is not None]

adapters = st.sampled_from([bunq(), bunq(server_public_key_file=())])
header_values = st.sampled_from(SIGNATURES) | st.text(st.characters(max_codepoint=255), max_size=20)
cursors = st.sampled_from([None, "count=200", "given-up?count=100"])
moments = st.datetimes(timezones=st.just(UTC)) | st.just(SINCE)


def bodies(files: list[str]) -> st.SearchStrategy[bytes]:
    recorded = st.sampled_from(files).flatmap(lambda name: mutated(recording("bunq", name)))
    return st.binary(max_size=80) | recorded


def outcome(
    exchange: Exchange[T], data: st.DataObject, answers: st.SearchStrategy[bytes]
) -> tuple[T | None, list[httpx.Request]]:
    """Answer every call as drawn; return what came of it, None where it was unreadable."""
    asked: list[httpx.Request] = []
    errors = st.sampled_from([NotFoundThere("http_404"), Unauthorised("http_403")])
    try:
        request = next(exchange)
        while True:
            asked.append(request)
            assert request.url.raw_path.startswith(b"/v1/")
            answer = data.draw(answers | answers | answers | errors)
            if isinstance(answer, SettledError):
                request = exchange.throw(answer)
            else:
                request = exchange.send(response_to(request, answer, data))
    except StopIteration as done:
        return done.value, asked
    except (Unreadable, NotFoundThere, Unauthorised):
        return None, asked
    finally:
        assert len(asked) <= CALLS_MAX


def response_to(request: httpx.Request, body: bytes, data: st.DataObject) -> httpx.Response:
    raw = data.draw(st.none() | header_values)
    headers = [] if raw is None else [(SIGNATURE.encode(), raw.encode("latin-1"))]
    return httpx.Response(200, headers=headers, content=body, request=request)


@given(st.data())
def test_any_call_with_any_headers_is_refused_or_names_something_to_look_at(
    data: st.DataObject,
) -> None:
    names = st.sampled_from([SIGNATURE, "x-forwarded-for", "content-type"])
    headers = data.draw(st.dictionaries(names, header_values, max_size=3))
    call = Call(headers, data.draw(bodies(CALLBACKS)), SINCE)
    adapter = data.draw(adapters)

    try:
        (event,) = adapter.verify(call)
    except Refused:
        return

    assert event.reason or adapter.knows(Kind.REQUEST_INQUIRY, event.provider_id or "")


@given(st.data())
def test_any_answers_to_a_read_come_to_an_answer_or_to_nothing(data: st.DataObject) -> None:
    files = ["request_inquiry_accepted.json", "payment_outgoing_refund.json"]
    exchange = data.draw(adapters).read(Kind.REQUEST_INQUIRY, INQUIRY, None)

    answer, _ = outcome(exchange, data, bodies(files))

    assert isinstance(answer, Observation | Unmapped | None)
    if isinstance(answer, Observation):
        assert all(amount >= 0 for amount in answer.facts.money)


@given(st.data())
def test_any_answers_to_a_list_come_to_a_page_or_to_nothing(data: st.DataObject) -> None:
    adapter, since = data.draw(adapters), data.draw(moments)

    page, asked = outcome(adapter.list_page(since, UNTIL, data.draw(cursors)), data, bodies(LISTS))

    check_page(adapter, page)
    resent = [request.content for request in asked if request.method == "POST"]
    assert all(re.search(rb':"[0-9]+(,[0-9]+){0,99}"\}$', content) for content in resent)


@given(st.data())
def test_any_answers_to_looking_through_come_to_a_page_or_to_nothing(data: st.DataObject) -> None:
    adapter, since = data.draw(adapters), data.draw(moments)

    page, _ = outcome(adapter.look_through(since, None), data, bodies(LISTS))

    check_page(adapter, page)
    assert page is None or all(item.mark for item in page.items)


def check_page(adapter: Bunq, page: Page | None) -> None:
    """Assert that a page names requests of ours and leads on to a page of the list."""
    if page is None:
        return
    assert all(adapter.knows(item.kind, item.provider_id) for item in page.items)
    assert page.next is None or re.fullmatch(r"(given-up\?)?[A-Za-z0-9_=&.%-]+", page.next)


@given(st.data())
def test_any_answers_to_a_check_come_to_findings_with_remedies(data: st.DataObject) -> None:
    address = data.draw(st.none() | st.just("https://hooks.example.test/bunq/6f0d3c1e"))

    found, _ = outcome(
        data.draw(adapters).check(address),
        data,
        bodies([*LISTS, "notification_filter_url_response.json"]),
    )

    assert found is not None
    assert all(isinstance(one, Finding) and (one.ok or one.remedy) for one in found)


@given(st.data())
def test_any_answer_to_a_step_of_the_handshake_is_kept_only_if_it_can_be_used(
    data: st.DataObject,
) -> None:
    kept = data.draw(st.sampled_from([registered(), opened()[0], registered(), {}]))

    session, asked = outcome(bunq().open_session(kept), data, bodies(HANDSHAKE))

    assert len(asked) == 1
    if session is None or not session.values:
        return
    assert 0 <= session.expires_in_seconds <= SESSION_SECONDS_MAX
    if session.expires_in_seconds:
        sent = bunq().authorise(httpx.Request("GET", "https://api.bunq.example/v1/x"), session)
        assert sent.headers["x-bunq-client-authentication"].isprintable()


@given(st.data())
def test_a_signed_call_that_differs_in_one_byte_is_refused(data: st.DataObject) -> None:
    vector = next(one for one in VECTORS["vectors"] if one["name"] == "valid_callback")
    body = bytearray(base64.b64decode(vector["body_base64"]))
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(BadSignature):
        bunq().verify(Call({SIGNATURE: vector["header_value"]}, bytes(body), SINCE))
