"""The traps in GoCardless's calls. Source: fact sheet gocardless, section 5."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.event import Call, EventVerdict
from service.domain.request import Kind
from service.errors import BadSignature, Malformed
from service.providers.gocardless import GoCardless, GoCardlessKeys
from service.settings import Expected, Secret
from tests.providers.gocardless_bodies import (
    NOW,
    PAYMENT,
    REQUEST,
    SECRET,
    event,
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


def test_bytes_that_only_mean_what_was_signed_are_refused() -> None:
    genuine = signed(b'{"events":[]}')

    assert gocardless().verify(genuine) == []
    with pytest.raises(BadSignature):
        gocardless().verify(replace(genuine, body=b'{"events": []}'))


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


@given(
    st.dictionaries(st.sampled_from(["webhook-signature", "origin"]), st.text(max_size=70)),
    st.binary(max_size=40),
)
def test_whatever_stands_in_the_headers_only_the_signature_opens(
    headers: dict[str, str], body: bytes
) -> None:
    with pytest.raises(BadSignature) as refused:
        gocardless().verify(Call(headers, body, received_at=NOW))

    assert refused.value.status_code == 498


@pytest.mark.parametrize("secrets", [(), ("",), (SECRET, "")])
def test_an_account_without_a_webhook_secret_does_not_start(secrets: tuple[str, ...]) -> None:
    with pytest.raises(Expected, match="secret"):
        gocardless(secrets=secrets)


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
        b'{"events": [1,]}',
        b'{"events": [1 2]}',
        b'{"events": [NaN}',
        b'{"events": [NaN], "events": []}',
        b'{"events": [NaN], "meta": "\\u0000"}',
        b'{"meta": {"events": [NaN]}, "events": [NaN]}',
        b'{"x\\"events": [NaN], "events": [7]}',
        b'{"events": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"events": ["\xff"]}',
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


@pytest.mark.parametrize(
    "odd",
    [
        '{"id": "EV01\\u0000"}',
        '{"metadata": {"note": "\\ud800"}}',
        '{"id": "EV01", "id": "EV02"}',
        '{"metadata": {"number": 1e999}}',
        '{"metadata": {"number": ' + "9" * 5000 + "}}",
        '{"metadata": NaN}',
        "[" * 40 + "]" * 40,
    ],
)
def test_an_event_that_strict_json_refuses_blocks_none_of_the_others(odd: str) -> None:
    before, behind = json.dumps(step("fulfilled", id="EV02")), json.dumps(event(id="EV03"))
    body = f'{{"meta": {{}}, "events" :\n[{before} , {odd},{behind}] }}'
    first, aside, last = gocardless().verify(signed(body.encode()))

    assert (first.provider_id, last.provider_id) == (REQUEST, PAYMENT)
    assert (aside.verdict, aside.reason) == (EventVerdict.SET_ASIDE, "malformed_event")
    assert (aside.kind, aside.provider_id, aside.event_id) == (None, None, None)


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
