"""The evidence behind an entry: redacted, for who may see it, and never markup or a secret."""

import hashlib
import re
from datetime import UTC, datetime, timedelta

import pytest

from service.runtime import Runtime
from service.storage.identifiers import new_id
from tests.storage.rows import (
    insert,
    insert_delivery,
    insert_event,
    insert_notification,
    insert_request,
    insert_transition,
)
from tests.web.console.conftest import Visitor, links_in, text_in
from tests.web.console.seed import HOSTILE, id_of

NOW = datetime.now(UTC)
READ = f"/console/requests/{id_of('prq', 1)}/reads/{id_of('obs', 1)}"


async def an_event(runtime: Runtime, body: bytes | None) -> str:
    """An event whose body is kept, or is dropped by now; return where it is shown."""
    event_id, sha256 = new_id("evt"), hashlib.sha256(body or b"gone").digest()
    await insert_event(
        runtime.pool, "e", "p", id=event_id, day=NOW.date(), received_at=NOW, body_sha256=sha256
    )
    if body is not None:
        await insert(runtime.pool, "event_bodies", day=NOW.date(), sha256=sha256, body=body)
    return f"/console/events/{event_id}/body"


async def a_read(runtime: Runtime, answer: bytes | None, *, number: int = 1, sha: bytes) -> None:
    await insert(
        runtime.pool, "observations", day=NOW.date(), id=id_of("obs", number),
        request_id=id_of("prq", 1), read_at=NOW + timedelta(seconds=number),
        observed_by="poll", verdict="no_change", lease_no=number, answer=answer,
        answer_sha256=sha,
    )  # fmt: skip


async def test_a_body_is_shown_redacted(operator: Visitor) -> None:
    body = b'{"order_id": "ord-1", "status": "completed", "payer": "J. de Vries"}'
    page = await operator.page(await an_event(operator.runtime, body))

    assert '"order_id": "ord-1"' in text_in(page)
    assert '"payer": …' in text_in(page)
    assert "Vries" not in page
    assert hashlib.sha256(body).hexdigest() in page


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{broken", "not JSON"),
        (b'{"id": "\xff"}', "not UTF-8"),
        (HOSTILE.encode(), "not JSON"),
        (b'{"id": "<script>alert(1)</script>", "<img src=x onerror=alert(1)>": 1}', '"…": …'),
        (b"[" + b'{"id": 1},' * 90_000 + b"1]", "… more than 400 lines"),
    ],
    ids=["broken", "no text", "markup", "markup in values", "huge"],
)
async def test_a_hostile_body_is_no_markup_and_has_an_end(
    operator: Visitor, body: bytes, told: str
) -> None:
    page = await operator.page(await an_event(operator.runtime, body))

    assert told in text_in(page)
    assert "alert" not in page
    assert len(page) < 40_000


async def test_a_body_past_its_retention_says_so(operator: Visitor) -> None:
    page = await operator.page(await an_event(operator.runtime, None))

    assert "Past its retention" in page
    assert hashlib.sha256(b"gone").hexdigest() in page


async def test_a_read_shows_each_answer_that_it_stands_on(operator: Visitor) -> None:
    await insert_request(operator.runtime.pool, "p", id=id_of("prq", 1), first_seen_at=NOW)
    await a_read(operator.runtime, b'GET /v1/orders/ord-1 200 13\n{"status": 1}\n', sha=b"\x01")

    page = text_in(await operator.page(READ))

    assert "GET /v1/orders/ord-1 200" in page
    assert '"status": …' in page


async def test_a_read_that_kept_nothing_shows_the_equal_answer_of_an_earlier_one(
    operator: Visitor,
) -> None:
    await insert_request(operator.runtime.pool, "p", id=id_of("prq", 1), first_seen_at=NOW)
    await a_read(operator.runtime, b"GET /v1/links 200 2\n{}\n", sha=b"\x01")
    await a_read(operator.runtime, None, number=2, sha=b"\x01")
    await a_read(operator.runtime, None, number=3, sha=b"\x02")

    same = text_in(await operator.page(READ[:-1] + "2"))
    none = text_in(await operator.page(READ[:-1] + "3"))

    assert "GET /v1/links 200" in same
    assert "The same bytes as at" in same
    assert "Not kept: the read confirmed what we knew" in none


async def test_of_a_read_past_its_retention_what_rests_on_it_knows(operator: Visitor) -> None:
    request_id = await insert_request(operator.runtime.pool, "p", id=id_of("prq", 1))
    await insert_transition(operator.runtime.pool, request_id, 1, observation_id=id_of("obs", 1))

    page = await operator.page(READ)

    assert "Past its retention" in page
    assert "01" * 32 in page


async def test_a_message_is_shown_redacted(operator: Visitor) -> None:
    request_id = await insert_request(operator.runtime.pool, "p", id=id_of("prq", 1))
    await insert_transition(operator.runtime.pool, request_id, 1)
    body = b'{"data": {"reference": "J. de Vries", "received": {"minor": 4000}}}'
    message = await insert_notification(operator.runtime.pool, request_id, 1, body=body)

    page = text_in(await operator.page(f"/console/requests/{request_id}/messages/{message}"))

    assert '"minor": 4000' in page
    assert "Vries" not in page


async def test_a_timeline_leads_an_operator_to_its_evidence_and_a_viewer_to_none(
    operator: Visitor, viewer: Visitor
) -> None:
    request_id = await insert_request(
        operator.runtime.pool, "p", id=id_of("prq", 1), first_seen_at=NOW
    )
    await a_read(operator.runtime, b"", sha=b"\x01")
    path = f"/console/requests/{request_id}"

    assert READ in links_in(await operator.page(path))
    assert f'hx-get="{READ}"' in await operator.page(path)
    assert not [link for link in links_in(await viewer.page(path)) if "/reads/" in link]
    assert (await viewer.client.get(READ)).status_code == 403


async def test_what_the_erp_answered_is_shown_to_an_operator_and_to_no_viewer(
    operator: Visitor, viewer: Visitor
) -> None:
    pool = operator.runtime.pool
    request_id = await insert_request(pool, "p", id=id_of("prq", 1))
    await insert_transition(pool, request_id, 1, recorded_at=NOW)
    message = await insert_notification(pool, request_id, 1, created_at=NOW)
    delivery = await insert_delivery(
        pool, message, id=id_of("dlv", 1), subject_id=request_id, notified_at=NOW
    )
    await insert(
        pool, "attempts", delivery_id=delivery, number=1, at=NOW, outcome="http_500",
        status_code=500, duration_ms=12, excerpt="no invoice of J. de Vries", notified_at=NOW,
    )  # fmt: skip
    path = f"/console/deliveries/{delivery}"

    assert "no invoice of J. de Vries" in text_in(await operator.page(path))
    seen = text_in(await viewer.page(path))
    assert "http 500" in seen
    assert "Vries" not in seen


@pytest.mark.parametrize(
    "path",
    [
        READ, "/console/events/evt_none/body", f"/console/events/{id_of('evt', 1)}/body",
        "/console/requests/prq_1/reads/%3Cscript%3E", "/console/requests/prq_1/messages/ntf_1",
    ],
)  # fmt: skip
async def test_evidence_that_is_not_there_is_a_page_that_says_so(
    operator: Visitor, path: str
) -> None:
    answer = await operator.client.get(path)

    assert answer.status_code == 404
    assert re.search("no such evidence", answer.text)
