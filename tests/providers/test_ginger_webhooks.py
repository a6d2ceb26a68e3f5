"""The traps of Ginger's calls. Source: fact sheet ginger, sections 1 and 13."""

import json
from typing import Any

import pytest

from service.domain.event import Call, Event, EventVerdict
from service.domain.request import Kind
from service.domain.status import Status
from service.errors import Malformed
from service.providers import AccountContext
from service.providers.ginger import Ginger, GingerKeys
from service.settings import Secret
from tests.providers.ginger_bodies import NOW, ORDER, OURS, REFUND, THEIRS, ginger


def told(body: object) -> Event:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    (event,) = ginger().verify(Call({}, raw, received_at=NOW))
    return event


def hint(**changes: Any) -> dict[str, Any]:
    return {"event": "status_changed", "order_id": ORDER, "project_id": OURS, **changes}


def test_a_call_names_an_order_and_its_status_is_not_believed() -> None:
    event = told(hint(order_status="completed"))

    assert event == Event(Kind.ORDER, ORDER, claims=Status.ACCEPTED)
    assert told(hint(order_status=["nonsense"])) == Event(Kind.ORDER, ORDER)


def test_an_order_id_in_upper_case_is_the_same_order() -> None:
    assert told(hint(order_id=ORDER.upper())).provider_id == ORDER


def test_an_unknown_event_is_kept_and_nothing_is_read() -> None:
    assert told({"event": "mandate_changed"}) == Event(
        None, None, verdict=EventVerdict.SET_ASIDE, reason="unknown_event"
    )


def test_a_call_about_a_foreign_project_is_kept_and_nothing_is_read() -> None:
    event = told(hint(project_id=THEIRS))

    assert (event.provider_id, event.reason) == (None, "foreign_project")


def test_a_project_id_in_upper_case_is_the_same_project() -> None:
    assert told(hint(project_id=OURS.upper())).provider_id == ORDER


def test_a_call_without_project_is_taken_as_one_sdk_sends_it() -> None:
    body = hint()
    del body["project_id"]

    assert told(body).provider_id == ORDER


def test_every_project_is_ours_where_none_is_configured() -> None:
    keys = GingerKeys(api_base="https://api.psp.example", api_key=Secret("k3y"))
    adapter = Ginger(keys, AccountContext("test", {}, live=False))
    body = json.dumps(hint(project_id=THEIRS)).encode()

    assert adapter.verify(Call({}, body, received_at=NOW)) == [Event(Kind.ORDER, ORDER)]


@pytest.mark.parametrize(
    "order_id",
    [
        None,
        7,
        [ORDER],
        "",
        ORDER + "\n",
        ORDER + "/refunds",
        "../" + ORDER,
        ORDER + "?fields[]=x",
        ORDER.replace("-", ""),
        ORDER.replace("9", "\u0669"),
    ],
)
def test_an_order_id_of_the_wrong_shape_is_malformed(order_id: object) -> None:
    with pytest.raises(Malformed):
        told(hint(order_id=order_id))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"[]",
        b'"status_changed"',
        hint(event=None),
        hint(event=""),
        hint(event=["status_changed"]),
        hint(project_id=None),
        hint(project_id=7),
        b'{"event": "status_changed"}',
        f'{{"event": "status_changed", "order_id": "{REFUND}", "order_id": "{ORDER}"}}'.encode(),
        f'{{"event": "status_changed", "order_id": "{ORDER}", "a": NaN}}'.encode(),
    ],
)
def test_a_call_of_the_wrong_shape_is_malformed(body: object) -> None:
    with pytest.raises(Malformed):
        told(body)
