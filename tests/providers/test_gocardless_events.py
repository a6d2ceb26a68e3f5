"""The traps in GoCardless's calls and its list of events. Source: fact sheet gocardless."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.event import Call, EventVerdict
from service.domain.request import Kind
from service.errors import BadSignature, Malformed, Unreadable
from service.providers import Listed, Page
from service.providers.gocardless import GoCardless, GoCardlessKeys
from service.settings import Expected, Secret
from tests.providers.exchange import always, run
from tests.providers.gocardless_bodies import (
    NOW,
    PAYMENT,
    REQUEST,
    SECRET,
    event,
    events,
    gocardless,
    signed,
    step,
    told,
    words,
)

VECTORS = json.loads(
    Path(__file__).parents[1].joinpath("vectors", "gocardless_signatures.json").read_bytes()
)["vectors"]


# Signature (section 5)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_signature_is_the_lower_case_hex_hmac_of_the_raw_bytes(vector: dict[str, Any]) -> None:
    headers = {vector["header_name"].lower(): vector["header_value"]}
    present = {name: value for name, value in headers.items() if value is not None}
    call = Call(present, base64.b64decode(vector["body_base64"]), received_at=NOW)
    adapter = gocardless(secrets=(vector["secret"],))

    if not vector["valid"]:
        with pytest.raises(BadSignature) as refused:
            adapter.verify(call)
        assert refused.value.status_code == 498
    elif vector.get("body_is_json", True):
        assert adapter.verify(call)
    else:
        with pytest.raises(Malformed):
            adapter.verify(call)


@pytest.mark.parametrize(("secret", "accepted"), [("new", True), ("old", True), ("odd", False)])
def test_each_secret_counts_while_they_are_changed(secret: str, accepted: bool) -> None:
    call = signed(b'{"events": []}', secret=secret)
    adapter = gocardless(secrets=("new", "old"))

    if accepted:
        assert adapter.verify(call) == []
    else:
        with pytest.raises(BadSignature):
            adapter.verify(call)


@pytest.mark.parametrize("name", ["webhook-signature ", "x-webhook-signature", "signature"])
def test_a_signature_under_another_name_is_none(name: str) -> None:
    body = b'{"events": []}'
    headers = {name: signed(body).headers["webhook-signature"]}

    with pytest.raises(BadSignature):
        gocardless().verify(Call(headers, body, received_at=NOW))


@given(st.text(max_size=70), st.binary(max_size=40))
def test_whatever_stands_in_the_header_only_the_signature_opens(header: str, body: bytes) -> None:
    with pytest.raises(BadSignature):
        gocardless().verify(Call({"webhook-signature": header}, body, received_at=NOW))


def test_an_account_without_a_webhook_secret_does_not_start() -> None:
    with pytest.raises(Expected, match="at least one secret"):
        gocardless(secrets=())


@pytest.mark.parametrize("token", ["a\nb", "tøken"])
def test_a_token_that_fits_no_header_does_not_start(token: str) -> None:
    with pytest.raises(Expected):
        GoCardlessKeys(
            api_base="https://api.psp.example",
            access_token=Secret(token),
            webhook_secrets=(Secret(SECRET),),
        )


# Events in a call (section 5)


def test_a_burst_for_an_instant_payment_names_the_request_and_its_payment() -> None:
    (batch,) = [vector for vector in VECTORS if vector["name"] == "valid_batch"]
    body = base64.b64decode(batch["body_base64"])
    found = gocardless(secrets=(batch["secret"],)).verify(signed(body, secret=batch["secret"]))

    assert [(one.kind, one.provider_id, one.event_id) for one in found] == [
        (Kind.BILLING_REQUEST, REQUEST, "EV01T4K9AA08XY"),
        (Kind.PAYMENT, PAYMENT, "EV01T4K9AA09XZ"),
        (Kind.PAYMENT, PAYMENT, "EV01T4K9AA10Y0"),
        (Kind.PAYMENT, PAYMENT, "EV01T4K9AA11Y1"),
    ]
    assert found[0].created_at == datetime(2025, 3, 3, 9, 4, 11, tzinfo=UTC)


def test_a_call_without_events_brings_none() -> None:
    assert gocardless().verify(signed(b'{"events":[],"meta":{"webhook_id":"WB1"}}')) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"events": null}',
        b'{"events": {}}',
        b'{"events": [], "events": []}',
        b'{"events": []',
        b'\xef\xbb\xbf{"events": []}',
        b'{"events": ["\\ud800"]}',
        b'{"events": ' + b"[" * 1000 + b"]" * 1000 + b"}",
    ],
)
def test_only_a_broken_envelope_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        gocardless().verify(signed(body))


@pytest.mark.parametrize(
    "broken",
    [
        None,
        7,
        "EV01",
        [],
        {},
        event(id=None),
        event(id=7),
        event(id="EV01\n"),
        event(id="EV" + "0" * 99),
        event(id="WB01"),
        {**event(), "action": 7},
        event(""),
        event("x" * 101),
        event(resource_type=None),
        event(links=None),
        event(links=[]),
        event(links={}),
        event(links={"payment": None}),
        event(links={"payment": 7}),
        event(links={"payment": REQUEST}),
        event(links={"payment": "PM1/../../creditors"}),
        step("fulfilled", links={"payment": PAYMENT}),
        step("fulfilled", links={"billing_request": PAYMENT}),
        event("created", resource_type="refunds", links={"payment": "../x"}),
    ],
)
def test_a_broken_event_is_set_aside_and_blocks_none_of_the_others(broken: object) -> None:
    before, aside, behind = told(step("fulfilled", id="EV02"), broken, event(id="EV03"))

    assert (aside.verdict, aside.reason) == (EventVerdict.SET_ASIDE, "malformed_event")
    assert (aside.kind, aside.provider_id) == (None, None)
    assert (before.provider_id, behind.provider_id) == (REQUEST, PAYMENT)


def test_a_broken_event_keeps_its_id_so_that_it_is_stored_once() -> None:
    assert [one.event_id for one in told(event(links={}), event(id=7, links={}))] == ["EV01", None]


@pytest.mark.parametrize("created_at", [None, 7, "", "yesterday", "2025-13-03T09:04:25.000Z"])
def test_an_event_without_a_readable_time_still_makes_us_look(created_at: object) -> None:
    (found,) = told({**event(), "created_at": created_at})

    assert (found.provider_id, found.created_at) == (PAYMENT, None)


@pytest.mark.parametrize(
    "action",
    words(
        """
        created bank_authorisation_authorised bank_authorisation_denied bank_authorisation_expired
        bank_authorisation_failed fulfilled cancelled failed
        """
    ),
)
def test_a_step_that_may_change_a_request_names_it(action: str) -> None:
    (found,) = told(step(action))

    assert (found.kind, found.provider_id) == (Kind.BILLING_REQUEST, REQUEST)
    assert found.verdict is EventVerdict.ACCEPTED


@pytest.mark.parametrize(
    "action",
    words(
        """
        flow_created flow_visited flow_exited choose_currency collect_amount
        collect_customer_details select_institution collect_bank_account payer_details_confirmed
        bank_authorisation_visited
        """
    ),
)
def test_a_step_that_changes_nothing_is_set_aside(action: str) -> None:
    (found,) = told(step(action))

    assert (found.verdict, found.reason) == (EventVerdict.SET_ASIDE, "no_change")
    assert (found.kind, found.event_id) == (None, "EV01")


@pytest.mark.parametrize(
    "action",
    words(
        """
        created customer_approval_granted customer_approval_denied submitted confirmed paid_out
        failed cancelled charged_back chargeback_cancelled resubmission_requested
        late_failure_settled chargeback_settled surcharge_fee_debited sds_settlement_delayed
        """
    ),
)
def test_every_event_of_a_payment_names_the_payment(action: str) -> None:
    (found,) = told(event(action))

    assert (found.kind, found.provider_id) == (Kind.PAYMENT, PAYMENT)


@pytest.mark.parametrize(("type_", "action"), [("refunds", "paid"), ("payouts", "paid")])
def test_a_refund_or_payout_counts_where_it_names_a_payment(type_: str, action: str) -> None:
    named, unnamed = told(
        event(action, resource_type=type_),
        event(action, resource_type=type_, links={"payout": "PO1", "refund": "RF1"}),
    )

    assert (named.kind, named.provider_id) == (Kind.PAYMENT, PAYMENT)
    assert (unnamed.kind, unnamed.reason) == (None, "unneeded_resource")


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (event("created", resource_type="mandates", links={"mandate": "MD1"}), "unneeded_resource"),
        (event("paid", resource_type="outbound_payments", links={}), "unneeded_resource"),
        (event("created", resource_type="brand_new", links={}), "unknown_event"),
        (event("brand_new"), "unknown_event"),
        (step("brand_new"), "unknown_event"),
        (event("brand_new", resource_type="refunds"), "unknown_event"),
        (event("flow_visited"), "unknown_event"),
        (step("payer_geo_blocked"), "payer_geo_blocked"),
    ],
)
def test_an_event_that_we_cannot_use_is_kept_with_its_id(item: object, reason: str) -> None:
    (found,) = told(item)

    assert (found.verdict, found.reason) == (EventVerdict.SET_ASIDE, reason)
    assert (found.kind, found.provider_id, found.event_id) == (None, None, "EV01")


def test_a_call_with_more_events_than_are_ever_sent_is_read_whole() -> None:
    metadata = {f"key{number}" * 10: "x" * 500 for number in range(3)}
    items = [event(id=f"EV{number}", resource_metadata=metadata) for number in range(251)]
    body = json.dumps({"events": items}).encode()

    assert len(body) <= GoCardless.body_bytes_max
    found = gocardless().verify(signed(body))
    assert {one.event_id for one in found} == {f"EV{number}" for number in range(251)}


# The list (sections 7 and 8)


def page(cursor: str | None, body: object) -> tuple[Page, httpx.Request]:
    since = (NOW - timedelta(hours=1)).astimezone(timezone(timedelta(hours=2)))
    exchange = gocardless().list_page(since, NOW, cursor)
    found, (request,) = run(exchange, always(json.dumps(body).encode()))
    return found, request


def test_the_list_is_one_of_events_in_a_window_of_utc_times() -> None:
    found, request = page(None, events(event(), step("flow_visited", id="EV02")))

    assert request.url.path == "/events"
    assert dict(request.url.params) == {
        "created_at[gte]": "2025-03-03T08:05:00.000Z",
        "created_at[lt]": "2025-03-03T09:05:00.000Z",
        "limit": "500",
    }
    assert found.next is None
    assert found.items == (
        Listed(Kind.PAYMENT, PAYMENT, None, event_id="EV01"),
        Listed(Kind.BILLING_REQUEST, REQUEST, None, event_id="EV02"),
    )


def test_a_list_goes_on_after_its_cursor() -> None:
    found, request = page("EV 9&limit=1", events(after="EV08"))

    assert request.url.params["after"] == "EV 9&limit=1"
    assert request.url.params["limit"] == "500"
    assert found == Page((), "EV08")


@pytest.mark.parametrize(
    "other",
    [
        7,
        {},
        event(links={}),
        event(links={"payment": "../x"}),
        event("created", resource_type="mandates", links={"mandate": "MD1"}),
        event("paid", resource_type="payouts", links={"payout": "PO1"}),
        event("created", resource_type="brand_new", links={"payment": PAYMENT}),
    ],
)
def test_an_event_that_leads_nowhere_does_not_keep_a_sweep_from_the_others(other: object) -> None:
    assert page(None, events(other, event()))[0].items == (
        Listed(Kind.PAYMENT, PAYMENT, None, event_id="EV01"),
    )


def test_a_sweep_looks_also_where_an_action_is_new() -> None:
    assert page(None, events(event("brand_new")))[0].items[0].provider_id == PAYMENT


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"events": []},
        {"events": {}, "meta": {"cursors": {"after": None}}},
        {"events": [], "meta": {"cursors": {}}},
        {"events": [], "meta": {"cursors": {"after": 7}}},
        events(after=""),
        events(after="x" * 201),
        events(after="EV09"),
    ],
)
def test_a_page_that_does_not_say_how_to_go_on_is_unreadable(body: object) -> None:
    with pytest.raises(Unreadable):
        page("EV09", body)


# Limits (section 9)


def wait(remaining: str | None, reset: str | None, *, status: int = 200) -> float | None:
    headers = {"ratelimit-remaining": remaining, "ratelimit-reset": reset}
    present = {name: value for name, value in headers.items() if value is not None}
    return gocardless().wait_seconds(httpx.Response(status, headers=present), now=NOW)


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("Mon, 03 Mar 2025 09:05:30 GMT", 30.0),
        ("Mon, 03 Mar 2025 09:05:00 GMT", 0.0),
        ("Thu, 03 May 2018 16:00:00 GMT", 0.0),
        ("Mon, 03 Mar 2025 10:05:00 GMT", 120.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 120.0),
    ],
)
def test_the_limit_is_reset_at_an_http_date(reset: str, seconds: float) -> None:
    assert wait("0", reset) == wait("0", reset, status=429) == seconds


@pytest.mark.parametrize("remaining", [None, "", "1", "999", "-1", "zero"])
def test_while_calls_are_left_there_is_nothing_to_wait_for(remaining: str | None) -> None:
    assert wait(remaining, "Mon, 03 Mar 2025 09:05:30 GMT") is None


@pytest.mark.parametrize(
    "reset",
    [
        None,
        "",
        "30",
        "nan",
        "2025-03-03T09:05:30Z",
        "Mon, 03 Xyz 2025 09:05:30 GMT",
        "Mon, 33 Mar 2025 09:05:30 GMT",
        "Mon, 03 Mar 2025 09:05:30 GMT, Mon, 03 Mar 2025 09:05:30 GMT",
        "Mon, 03 Mar 2025 09:05:30 +9999",
        "9" * 10_000,
    ],
)
def test_a_reset_that_is_no_http_date_tells_nothing(reset: str | None) -> None:
    assert wait("0", reset) is None
