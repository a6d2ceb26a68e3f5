"""The way in, over a real socket and into a real PostgreSQL. Source: CONTRACT.md, section 4."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import psycopg
import pytest
from prometheus_client import REGISTRY

from service.domain.event import Call, Event, EventVerdict
from service.domain.request import Answer, Facts, Kind
from service.errors import BadSignature
from service.fetch import ConnectedAccount
from service.providers import Exchange
from service.runtime import Runtime, connect_accounts
from service.settings import Rate, Settings, parse
from service.storage.event_writer import EventWriter
from service.web import webhooks
from service.web.app import create_app
from tests.telemetry.test_traces import ids, traced
from tests.web.serving import connected, serving, status_of, talk, until_closed

ORDER = "4c6afd74-0000-4000-8000-000000000001"
HINT = json.dumps({"event": "status_changed", "order_id": ORDER, "project_id": ""}).encode()
TOKEN = "unguessable-path-segment"


class Northpay:
    """An invented provider that signs its calls and sends several events in one."""

    kinds = frozenset({Kind.BILLING_REQUEST})
    body_bytes_max = 1024 * 1024

    def knows(self, kind: Kind, provider_id: str) -> bool:
        return True

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        raise NotImplementedError

    def verify(self, call: Call) -> Sequence[Event]:
        given = call.headers.get("signature", "").encode("latin-1")
        if not hmac.compare_digest(given, signature(call.body).encode()):
            raise BadSignature("the signature does not match", status_code=498)
        return [
            Event(Kind.BILLING_REQUEST, item["request"], item["id"])
            if isinstance(item.get("request"), str)
            else Event(None, None, item["id"], EventVerdict.SET_ASIDE, "malformed_event")
            for item in json.loads(call.body)["events"]
        ]


class Silent:
    """A provider that calls nobody."""

    kinds = frozenset({Kind.ORDER})
    body_bytes_max = 65_536
    knows = Northpay.knows
    read = Northpay.read


class Broken(Silent):
    """A provider whose adapter has a bug."""

    def verify(self, call: Call) -> Sequence[Event]:
        raise RuntimeError


# Events with the bodies of their calls.
WITH_BODY = "from events join event_bodies on sha256 = body_sha256"


def signature(body: bytes) -> str:
    return hmac.new(b"key", body, hashlib.sha256).hexdigest()


def signed(body: bytes) -> dict[str, str]:
    return {"signature": signature(body)}


def settings_of(**settled: object) -> Settings:
    ginger = {"provider": "ginger", "api_base": "https://api.example.com", "api_key": "secret"}
    accounts = [
        {"name": "ginger-nl", **ginger, "webhook_token": TOKEN},
        {"name": "open", **ginger},
        {"name": "fenced", **ginger, "webhook_allow_from": ["185.40.108.0/22"]},
    ]
    table: dict[str, Any] = {"settled": settled, "account": accounts}
    return parse(table, source="test", environ={}, base=Path())


def accounts_of(settings: Settings) -> dict[str, ConnectedAccount]:
    section = settings.accounts[1]
    return {
        **connect_accounts(settings),
        "northpay": ConnectedAccount("northpay", section, Northpay(), Rate(5, 1.0)),
        "silent": ConnectedAccount("silent", section, Silent(), Rate(5, 1.0)),
        "broken": ConnectedAccount("broken", section, Broken(), Rate(5, 1.0)),
    }


@dataclass
class Receiver:
    """A running receiver; wakes counts how often workers were woken."""

    database_url: str
    settings: Settings = field(default_factory=settings_of)
    port: int = 0
    wakes: int = 0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Runtime]:
        """Open the part of the runtime that a webhook needs."""
        self.writer = EventWriter(self.database_url)
        self.accounts: Mapping[str, ConnectedAccount] = accounts_of(self.settings)
        await self.writer.start()
        yield cast("Runtime", self)
        await self.writer.stop()

    def wake(self) -> None:
        self.wakes += 1

    def post(
        self, path: str, body: bytes = HINT, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return httpx.post(f"http://127.0.0.1:{self.port}{path}", content=body, headers=headers)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()


@pytest.fixture(scope="module")
def refusing() -> Iterator[Receiver]:
    """A receiver whose database is away: what it does not refuse it answers with 503."""
    receiver = Receiver("postgresql://nobody@/nothing?host=/nowhere")
    with serving(create_app(receiver.opened)) as receiver.port:
        yield receiver


@pytest.fixture
def receiver(database_url: str) -> Iterator[Receiver]:
    receiver = Receiver(database_url)
    with serving(create_app(receiver.opened)) as receiver.port:
        yield receiver


def code_of(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    return str(answer.json()["code"])


def test_an_authentic_call_is_answered_204_stored_and_a_worker_woken(receiver: Receiver) -> None:
    answer = receiver.post(f"/webhooks/ginger-nl/{TOKEN}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert receiver.rows(f"select account, provider_id, verdict, body {WITH_BODY}") == [
        ("ginger-nl", ORDER, "accepted", HINT)
    ]
    assert receiver.rows("select provider_id, wanted from due") == [(ORDER, 1)]
    assert receiver.wakes == 1


def test_a_call_with_nothing_to_do_is_kept_as_evidence_and_wakes_nobody(
    receiver: Receiver,
) -> None:
    answer = receiver.post("/webhooks/open", b'{"event": "some_day", "order_id": null}')

    assert answer.status_code == 204
    assert receiver.rows("select verdict from events") == [("set_aside",)]
    assert receiver.rows("select count(*) from due") == [(0,)]
    assert receiver.wakes == 0


def test_a_call_without_any_event_is_kept_as_evidence(receiver: Receiver) -> None:
    body = b'{"events": []}'

    assert receiver.post("/webhooks/northpay", body, signed(body)).status_code == 204
    assert receiver.rows(f"select verdict, reason, body {WITH_BODY}") == [
        ("set_aside", "no_events", body)
    ]


def test_a_bad_event_among_good_ones_is_set_aside_and_the_good_ones_go_on(
    receiver: Receiver,
) -> None:
    body = b'{"events": [{"id": "E1", "request": 7}, {"id": "E2", "request": "B2"}]}'

    assert receiver.post("/webhooks/northpay", body, signed(body)).status_code == 204
    assert receiver.rows("select event_id, verdict from events order by event_id") == [
        ("E1", "set_aside"), ("E2", "accepted")
    ]  # fmt: skip
    assert receiver.rows("select provider_id from due") == [("B2",)]


def test_the_same_bytes_twice_are_two_triggers_and_a_known_event_id_is_none(
    receiver: Receiver,
) -> None:
    body = b'{"events": [{"id": "E1", "request": "B1"}]}'
    for _ in range(2):
        assert receiver.post("/webhooks/open").status_code == 204
        assert receiver.post("/webhooks/northpay", body, signed(body)).status_code == 204

    assert receiver.rows("select account, wanted from due order by account") == [
        ("northpay", 1), ("open", 2)
    ]  # fmt: skip


@pytest.mark.parametrize("headers", [{}, {b"signature": b"0" * 64}, {b"signature": b"\xe9"}])
def test_a_call_with_a_bad_signature_is_refused_as_its_provider_expects(
    refusing: Receiver, headers: dict[bytes, bytes]
) -> None:
    answer = httpx.post(f"http://127.0.0.1:{refusing.port}/webhooks/northpay", headers=headers)

    assert (answer.status_code, code_of(answer)) == (498, "bad_signature")


def test_an_unknown_account_and_a_wrong_token_cannot_be_told_apart(refusing: Receiver) -> None:
    paths = [
        "/webhooks/nobody",
        f"/webhooks/nobody/{TOKEN}",
        "/webhooks/ginger-nl",
        "/webhooks/ginger-nl/wrong",
        f"/webhooks/ginger-nl/{TOKEN}x",
        f"/webhooks/open/{TOKEN}",
        "/webhooks/silent",
        "/webhooks/fenced",
    ]

    answers = [refusing.post(path, body) for path in paths for body in (HINT, b"x" * 2_000_000)]

    assert {(a.status_code, a.content, tuple(a.headers)) for a in answers} == {
        (404, answers[0].content, tuple(answers[0].headers))
    }


@pytest.mark.parametrize(
    "path",
    [
        "/webhooks/ginger-nl%2f{token}",
        "/webhooks/ginger-nl/{token}%0a",
        "/webhooks/ginger-nl/{token}%00",
        "/webhooks/ginger-nl/{token}/",
        "/webhooks/ginger-nl//{token}",
        "//webhooks/ginger-nl/{token}",
        "/webhooks/../webhooks/ginger-nl/{token}",
        "/webhooks/./ginger-nl/{token}",
        "/webhooks/%67inger-nl/{token}",
        "/webhooks/GINGER-NL/{token}",
        "/webhooks/ginger-nl/{token};x",
        "/webhooks/open%0a",
        "/webhooks/open/",
        "/webhooks/",
        "/webhooks",
    ],
)
def test_another_spelling_of_a_path_leads_nowhere(refusing: Receiver, path: str) -> None:
    head = f"POST {path.format(token=TOKEN)} HTTP/1.1\r\nHost: settled\r\nConnection: close\r\n"

    answer = talk(refusing.port, head.encode() + b"Content-Length: %d\r\n\r\n" % len(HINT) + HINT)

    assert status_of(answer) == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"null",
        b'{"event": "status_changed", "order_id": "../x"}',
        b'{"event": "status_changed", "order_id": ["x"]}',
        b"[" * 60_000,
    ],
)
def test_what_cannot_be_read_is_400(refusing: Receiver, body: bytes) -> None:
    answer = refusing.post("/webhooks/open", body)

    assert (answer.status_code, code_of(answer)) == (400, "malformed")


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"7", b'{"events": 7}', b'{"events": [7]}', b'{"events": [{}]}', b"{"]
)
def test_a_signed_envelope_of_another_shape_is_400(refusing: Receiver, body: bytes) -> None:
    answer = refusing.post("/webhooks/northpay", body, signed(body))

    assert (answer.status_code, code_of(answer)) == (400, "malformed")


def test_each_provider_has_its_own_size_of_body(receiver: Receiver) -> None:
    large = b'{"events": [], "note": "%s"}' % (b"x" * 1_000_000)
    larger = b'{"events": [], "note": "%s"}' % (b"x" * 1_100_000)

    assert receiver.post("/webhooks/northpay", large, signed(large)).status_code == 204
    assert code_of(receiver.post("/webhooks/northpay", larger, signed(larger))) == "too_large"
    assert code_of(receiver.post("/webhooks/open", b"x" * 65_537)) == "too_large"
    assert code_of(receiver.post("/webhooks/open", b"x" * 65_536)) == "malformed"


def test_a_body_that_says_it_is_too_large_is_refused_unread(refusing: Receiver) -> None:
    with connected(refusing.port) as line:
        line.sendall(
            b"POST /webhooks/open HTTP/1.1\r\nHost: s\r\nContent-Length: 99999999999\r\n\r\n"
        )

        answer = until_closed(line)

    assert status_of(answer) == 413
    assert b"\r\nconnection: close\r\n" in answer


def test_a_body_without_end_is_refused_when_it_is_too_large(refusing: Receiver) -> None:
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    with connected(refusing.port) as line:
        line.sendall(
            b"POST /webhooks/open HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        line.sendall(chunk * 20)

        assert status_of(until_closed(line)) == 413


def test_a_sender_that_sends_it_all_first_still_reads_the_refusal(refusing: Receiver) -> None:
    assert refusing.post("/webhooks/open", b"x" * 5_000_000).status_code == 413


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
def test_only_post_is_taken(refusing: Receiver, method: str) -> None:
    answer = httpx.request(method, f"http://127.0.0.1:{refusing.port}/webhooks/open")

    if method == "BREW":
        assert answer.status_code == 400
    else:
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_a_compressed_body_is_refused(receiver: Receiver) -> None:
    answer = receiver.post("/webhooks/open", headers={"content-encoding": "gzip"})

    assert (answer.status_code, code_of(answer)) == (415, "unsupported_encoding")
    assert receiver.post("/webhooks/open", headers={"content-encoding": "identity"}).is_success


def test_a_repeated_header_is_refused_unless_it_is_a_list(receiver: Receiver) -> None:
    url = f"http://127.0.0.1:{receiver.port}/webhooks/open"
    twice = [("signature", "a"), ("signature", "b")]
    through_proxies = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "192.0.2.2")]

    refused = httpx.post(url, content=HINT, headers=twice)
    taken = httpx.post(url, content=HINT, headers=through_proxies)

    assert (refused.status_code, code_of(refused)) == (400, "repeated_header")
    assert taken.status_code == 204


def test_behind_a_trusted_proxy_the_last_address_that_is_not_its_own_counts(
    database_url: str,
) -> None:
    receiver = Receiver(database_url, settings_of(trusted_proxies=["127.0.0.1", "10.0.0.0/8"]))
    with serving(create_app(receiver.opened)) as receiver.port:

        def status(forwarded_for: str) -> int:
            headers = {"x-forwarded-for": forwarded_for}
            return receiver.post("/webhooks/fenced", headers=headers).status_code

        assert status("185.40.108.7") == 204
        assert status("192.0.2.1, 185.40.111.9, 10.1.2.3") == 204
        assert status("::ffff:185.40.108.7") == 204
        assert status("185.40.108.7, 192.0.2.1") == 404
        assert status("185.40.108.7, unknown") == 404
        assert status("") == 404


def test_nobody_is_believed_about_his_address_unless_he_is_a_trusted_proxy(
    refusing: Receiver,
) -> None:
    headers = {"x-forwarded-for": "185.40.108.7"}

    assert refusing.post("/webhooks/fenced", headers=headers).status_code == 404


def test_the_answer_waits_for_the_commit_and_says_503_when_it_is_lost(
    receiver: Receiver,
) -> None:
    assert receiver.post("/webhooks/open").status_code == 204
    with (
        ThreadPoolExecutor() as threads,
        psycopg.connect(receiver.database_url) as holder,
    ):
        holder.execute("select from due for update")
        posted = threads.submit(receiver.post, "/webhooks/open")
        while receiver.rows(_BLOCKED) != [(True,)]:
            assert not posted.done()
        answer = posted.result()

    assert (answer.status_code, code_of(answer)) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    while not receiver.writer.is_connected:
        assert receiver.post("/webhooks/open").status_code in (204, 503)
    assert receiver.post("/webhooks/open").status_code == 204


def test_without_a_database_the_answer_is_503_at_once(refusing: Receiver) -> None:
    answer = refusing.post("/webhooks/open")

    assert (answer.status_code, code_of(answer)) == (503, "unavailable")
    assert answer.elapsed.total_seconds() < 1


def test_who_came_in_vain_with_a_whole_call_keeps_his_connection(refusing: Receiver) -> None:
    head = b"POST /webhooks/open HTTP/1.1\r\nHost: s\r\nContent-Length: %d\r\n\r\n" % len(HINT)
    with connected(refusing.port) as line:
        for _ in range(2):
            line.sendall(head + HINT)
            answer = line.recv(65_536)
            assert status_of(answer) == 503
            assert b"\r\nretry-after: " in answer


def test_a_body_that_does_not_arrive_in_time_is_503(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "ANSWER_SECONDS_MAX", 0.2)
    with connected(receiver.port) as line:
        line.sendall(b"POST /webhooks/open HTTP/1.1\r\nHost: s\r\nContent-Length: 9\r\n\r\n{")

        answer = until_closed(line)

    assert status_of(answer) == 503
    assert b"\r\nretry-after: " in answer


def test_too_many_bytes_at_a_time_are_503(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "BODY_BYTES_HELD_MAX", 100)

    assert receiver.post("/webhooks/open", b"x" * 101).status_code == 503
    assert receiver.post("/webhooks/open", b"x" * 100).status_code == 400


def test_a_caller_that_leaves_early_leaves_nothing_behind(receiver: Receiver) -> None:
    with connected(receiver.port) as line:
        line.sendall(b"POST /webhooks/open HTTP/1.1\r\nHost: s\r\nContent-Length: 900\r\n\r\n{")

    assert receiver.post("/webhooks/open").status_code == 204
    assert receiver.rows("select count(*) from events") == [(1,)]


_BLOCKED = """
select pg_terminate_backend(pid) from pg_stat_activity
 where datname = current_database() and application_name = 'settled receiver'
   and wait_event_type = 'Lock'
"""


def test_the_receipt_is_a_step_whose_name_is_stored_with_what_it_made_due(
    receiver: Receiver,
) -> None:
    with traced() as kept:
        answer = receiver.post(f"/webhooks/ginger-nl/{TOKEN}")

    assert answer.status_code == 204
    (step,) = kept.get_finished_spans()
    for table in ("events", "due"):
        ((carried,),) = receiver.rows(f"select traceparent from {table}")
        assert tuple(carried.split("-")[1:3]) == ids(step)


def test_an_answer_that_is_a_bug_is_counted_as_one(refusing: Receiver) -> None:
    def counted() -> float:
        labels = {"account": "broken", "outcome": "internal_error"}
        return REGISTRY.get_sample_value("settled_webhooks_total", labels) or 0.0

    before = counted()
    answer = refusing.post("/webhooks/broken")

    assert (answer.status_code, code_of(answer)) == (500, "internal_error")
    assert counted() == before + 1
