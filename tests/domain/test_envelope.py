"""What an endpoint is sent: the stored body, lists of what never arrived, CloudEvents."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from hypothesis import given
from hypothesis import strategies as st

from service.domain.envelope import CONTENT_TYPES, Form, body_for
from service.domain.notification import serialised

FORMS: tuple[Form, ...] = ("settled", "cloudevents")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def stored(**data: object) -> bytes:
    ordinary: dict[str, object] = {"request_id": "prq_1", "account": "ginger-nl", "sequence": 5}
    return serialised(
        {
            "type": "payment_request.paid",
            "id": "ntf_1",
            "timestamp": "2026-11-20T14:31:02.418Z",
            "schema": "1",
            "data": ordinary | data,
        }
    )


def as_event(body: bytes) -> BaseCloudEvent:
    """Read a body with the outside library, which refuses what is no valid CloudEvent."""
    headers = {"content-type": CONTENT_TYPES["cloudevents"]}
    return from_structured_event(HTTPMessage(headers, body))


def test_the_ordinary_form_is_the_stored_body_itself() -> None:
    body = b'{ "spelled": "as it was" }'

    assert body_for("settled", body) is body


@pytest.mark.parametrize("form", FORMS)
def test_what_never_arrived_is_listed_in_data_and_nothing_else_changes(form: Form) -> None:
    plain = json.loads(body_for(form, stored()))

    listing = json.loads(body_for(form, stored(), dead=[1, 3], superseded=[2, 4]))

    assert listing["data"].pop("dead") == [1, 3]
    assert listing["data"].pop("superseded") == [2, 4]
    assert listing == plain


def test_an_empty_list_is_left_out() -> None:
    assert "superseded" not in json.loads(body_for("settled", stored(), dead=[1]))["data"]


@given(st.dictionaries(TEXTS, TEXTS | st.integers() | st.none() | st.booleans()))
def test_a_body_read_and_written_again_has_the_same_bytes(data: dict[str, Any]) -> None:
    body = stored(**{f"x{name}": value for name, value in data.items()})

    assert serialised(json.loads(body)) == body
    for form in FORMS:
        assert body_for(form, body, dead=[1]) == body_for(form, body, dead=[1])


def test_an_outside_library_reads_the_same_as_a_cloudevent() -> None:
    event = as_event(body_for("cloudevents", stored(name="Zoë"), superseded=[4]))

    assert (event.get_id(), event.get_type()) == ("ntf_1", "payment_request.paid")
    assert (event.get_source(), event.get_subject()) == ("/settled/ginger-nl", "prq_1")
    assert event.get_time() == datetime(2026, 11, 20, 14, 31, 2, 418_000, tzinfo=UTC)
    assert (event.get_specversion(), event.get_extension("schema")) == ("1.0", "1")
    assert event.get_data() == {**json.loads(stored(name="Zoë"))["data"], "superseded": [4]}


def test_an_order_is_told_of_by_no_single_account() -> None:
    order = serialised(json.loads(stored()) | {"data": {"order_id": "ord_1", "sequence": 1}})

    event = as_event(body_for("cloudevents", order))

    assert (event.get_source(), event.get_subject()) == ("/settled", "ord_1")
