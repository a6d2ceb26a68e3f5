"""bunq: what integrators get wrong, each mistake of the fact sheet by its number."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.domain.event import Call, Event, EventVerdict
from service.domain.request import Kind
from service.domain.status import Status
from service.errors import (
    BadSignature,
    Malformed,
    Unreadable,
)
from service.providers import Page
from service.providers.bunq import BunqKeys
from service.providers.bunq.signature import is_signed, public_key_of
from service.settings import Expected, Secret
from tests.providers.bunq_bodies import (
    EMPTY,
    INQUIRY_PATH,
    LIST_PATH,
    SIGNATURE,
    SINCE,
    UNTIL,
    VECTORS,
    a_session,
    bunq,
    call_about,
    call_about_inquiry,
    euros,
    every_vector,
    inquiry,
    opened,
    opened_from,
    read,
    verify,
)
from tests.providers.exchange import at_paths, run
from tests.providers.table_bunq import (
    ACCOUNT_ID,
    ACCOUNT_PATH,
    FAILURES_PATH,
    FILTERS_PATH,
    INQUIRY,
    PAYMENTS_PATH,
    USER_ID,
    USER_PATH,
)
from tests.providers.world import recording

# What integrators get wrong: the fact sheet's section 11, in its order


def test_1_a_call_is_a_hint_whatever_event_type_and_status_it_shows() -> None:
    body = call_about_inquiry(status="REVOKED", amount_responded=euros("125.00"))

    assert verify(body) == Event(Kind.REQUEST_INQUIRY, INQUIRY, claims=Status.CANCELLED)


def test_2_a_request_that_we_are_asked_to_pay_is_none_of_ours() -> None:
    body = call_about("RequestResponse", {"id": int(INQUIRY), "monetary_account_id": ACCOUNT_ID})

    assert verify(body).reason == "opposite_direction"


def test_2_a_request_response_in_answer_to_a_read_is_no_request() -> None:
    answer = inquiry()
    answer["Response"] = [{"RequestResponse": answer["Response"][0]["RequestInquiry"]}]

    with pytest.raises(Unreadable):
        read(answer)


@every_vector
def test_3_a_signature_is_checked_where_there_is_one(vector: dict[str, Any]) -> None:
    key = VECTORS["keys"][vector["public_key"]]
    body = base64.b64decode(vector["body_base64"])

    signed = is_signed(body, vector["header_value"], [public_key_of(key.encode())])

    assert signed is vector["valid"]


@every_vector
def test_3_a_call_with_a_wrong_signature_is_refused_and_one_without_is_not(
    vector: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "server.pem"
    file.write_text(VECTORS["keys"][vector["public_key"]])
    header = vector["header_value"]
    headers = {} if header is None else {SIGNATURE: header}
    call = Call(headers, base64.b64decode(vector["body_base64"]), SINCE)

    refused = False
    try:
        bunq(server_public_key_file=file).verify(call)
    except BadSignature:
        refused = True
    except Malformed:
        assert vector["name"] in ("valid_empty_body", "valid_api_response")

    assert refused is (header is not None and not vector["valid"])


def test_3_a_missing_signature_is_refused_where_one_is_required() -> None:
    adapter = bunq(require_signed_calls=True)

    with pytest.raises(BadSignature):
        verify(call_about_inquiry(), adapter)
    with pytest.raises(BadSignature):
        verify(call_about_inquiry(), adapter, x_bunq_server_signature="")


def test_3_a_signature_cannot_be_required_without_a_key_to_check_it_with() -> None:
    keys: Any = {"user_id": USER_ID, "monetary_account_id": ACCOUNT_ID}

    with pytest.raises(Expected) as error:
        BunqKeys(api_base="https://x", api_key=Secret("k"), require_signed_calls=True, **keys)
    assert error.value.at == "server_public_key_file"


def test_4_a_session_asks_for_no_second_one_within_30_seconds() -> None:
    assert bunq().session_seconds_min == 30.0


def test_5_no_exchange_of_ours_writes_notification_filters() -> None:
    asked = every_request()

    assert len(asked) == 14
    assert [one.url.path for one in asked if one.method == "POST"] == [
        f"{USER_PATH}/notification-filter-failure",
        "/v1/installation",
        "/v1/device-server",
        "/v1/session-server",
        "/v1/session-server",
    ]
    assert {one.method for one in asked} == {"GET", "POST"}


def test_6_a_list_is_walked_towards_older_requests_never_by_newer_id() -> None:
    assert not any("newer_id" in str(request.url) for request in every_request())


def every_request() -> list[httpx.Request]:
    """Make each exchange there is, the first window whole; return all that was asked."""
    failures = json.loads(recording("bunq", "notification_filter_failure_list_response.json"))
    first = json.loads(recording("bunq", "request_inquiry_list_page_1_newest.json"))
    last = json.loads(recording("bunq", "request_inquiry_list_page_2_oldest.json"))
    older = first["Pagination"]["older_url"].partition("?")[2]
    answer = at_paths(
        {
            INQUIRY_PATH: inquiry(),
            PAYMENTS_PATH: EMPTY,
            FAILURES_PATH: failures,
            f"{USER_PATH}/notification-filter-failure": EMPTY,
            LIST_PATH: first,
            f"{ACCOUNT_PATH}/request-inquiry?count=1": EMPTY,
            f"{ACCOUNT_PATH}/request-inquiry?{older}": last,
        }
    )
    asked: list[httpx.Request] = []
    asked += run(bunq().read(Kind.REQUEST_INQUIRY, INQUIRY, None), answer)[1]
    page, sent_again = run(bunq().list_page(SINCE, UNTIL, None), answer)
    page, listed = run(bunq().list_page(SINCE, UNTIL, page.next), answer)
    asked += [*sent_again, *listed, *run(bunq().list_page(SINCE, UNTIL, page.next), answer)[1]]
    asked += run(bunq().look_through(SINCE, None), answer)[1]
    asked += run(bunq().check(None), answer)[1]
    kept, opening = opened()
    return [*asked, *opening, *opened_from(kept, bunq())[1]]


def test_7_times_are_utc_and_never_local() -> None:
    seen = read(inquiry("rejected"))

    assert seen.occurred_at == datetime(2025, 3, 3, 9, 8, 2, 301, tzinfo=UTC)
    assert seen.version == 1_740_992_882_000_412


@pytest.mark.parametrize("value", [125, 125.0, "125,00", "1.250", "12500000000000000", "", "1e2"])
def test_8_an_amount_is_decimal_text_or_nothing(value: object) -> None:
    with pytest.raises(Unreadable):
        read(inquiry("pending", amount_inquired={"value": value, "currency": "EUR"}))


def test_8_an_amount_becomes_minor_units_of_its_currency() -> None:
    assert read(inquiry("pending", amount_inquired=euros("0.01"))).facts.amount == 1
    yen = {"value": "125", "currency": "JPY"}
    assert read(inquiry("pending", amount_inquired=yen)).facts.amount == 125


def test_9_every_attempt_has_a_request_id_of_its_own() -> None:
    adapter, session = bunq(), a_session()
    request = httpx.Request("GET", "https://api.bunq.example/v1/user")

    ids = [
        adapter.authorise(request, session).headers["x-bunq-client-request-id"] for _ in range(2)
    ]

    assert ids == ["request-1", "request-2"]


def test_10_a_window_begins_with_the_calls_that_were_given_up_during_it() -> None:
    failures = recording("bunq", "notification_filter_failure_list_response.json")
    answer = at_paths({FAILURES_PATH: failures, f"{USER_PATH}/notification-filter-failure": EMPTY})

    page, requests = run(bunq().list_page(SINCE, UNTIL, None), answer)

    assert page == Page((), "count=200")
    assert [request.method for request in requests] == ["GET", "POST"]
    recorded = recording("bunq", "notification_filter_failure_retry_request.json")
    assert json.loads(requests[1].content) == json.loads(recorded)


def test_11_money_of_a_request_is_seen_without_any_call_about_payments() -> None:
    body = recording("bunq", "callback_payment_received.json")

    assert verify(body).verdict is EventVerdict.SET_ASIDE
    assert read(inquiry("accepted")).facts.received == 12500


def test_11_a_check_names_an_address_that_gets_payments_but_no_requests() -> None:
    address = "https://pay.example/webhooks/bunq/token"
    filters = [
        {"NotificationFilterUrl": {"category": category, "notification_target": address}}
        for category in ("PAYMENT", "MUTATION")
    ]
    answer = at_paths(
        {f"{ACCOUNT_PATH}/request-inquiry?count=1": EMPTY, FILTERS_PATH: {"Response": filters}}
    )

    found, _ = run(bunq().check(address), answer)

    (webhook,) = [one for one in found if one.check == "webhook"]
    assert webhook.ok is False
    assert "only for other categories" in webhook.detail


def test_12_no_header_but_the_signature_is_believed() -> None:
    body = call_about_inquiry()

    assert verify(body, x_forwarded_for="185.40.109.17") == verify(body)
