"""bunq in detail: what integrators get wrong, every rule for its requests, its handshake."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from service.domain.event import Call, Event, EventVerdict
from service.domain.lifecycle import with_reversal
from service.domain.request import Facts, Kind, Observation, Unmapped
from service.domain.status import Status
from service.errors import (
    BadSignature,
    Malformed,
    Misconfigured,
    Unauthorised,
    Unavailable,
    Unreadable,
)
from service.providers import AccountContext, Exchange, Session
from service.providers.bunq import Bunq, BunqKeys
from service.providers.bunq.signature import is_signed, public_key_of, public_pem
from service.settings import Expected, Secret
from tests.providers.exchange import always, at_paths, run
from tests.providers.table_bunq import (
    ACCOUNT_ID,
    ACCOUNT_PATH,
    BUNQ,
    FAILURES_PATH,
    INQUIRY,
    PAYMENTS_PATH,
    SERVER_KEY_FILE,
    USER_ID,
    USER_PATH,
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


# What integrators get wrong: the fact sheet's section 11, in its order


def test_1_a_call_is_a_hint_whatever_event_type_and_status_it_shows() -> None:
    body = call_about_inquiry(status="REVOKED", amount_responded=euros("125.00"))

    assert verify(body) == Event(Kind.REQUEST_INQUIRY, INQUIRY)


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


def test_4_a_session_asks_for_no_second_one_within_30_seconds() -> None:
    assert bunq().session_seconds_min == 30.0


def test_5_no_exchange_of_ours_writes_notification_filters() -> None:
    urls = [f"{request.method} {request.url}" for request in every_request()]

    assert len(urls) == 10
    assert not any("notification-filter-url" in url for url in urls)


def test_6_a_list_is_walked_towards_older_requests_never_by_newer_id() -> None:
    assert not any("newer_id" in str(request.url) for request in every_request())


def every_request() -> list[httpx.Request]:
    """Make a read, a whole window and an opening; return all that was asked."""
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
            f"{ACCOUNT_PATH}/request-inquiry?{older}": last,
        }
    )
    _, asked = run(bunq().read(Kind.REQUEST_INQUIRY, INQUIRY, None), answer)
    page, listed = run(bunq().list_page(SINCE, UNTIL, None), answer)
    _, listed_on = run(bunq().list_page(SINCE, UNTIL, page.next), answer)
    kept, first = opened()
    _, again = opened_from(kept, bunq())
    return [*asked, *listed, *listed_on, *first, *again]


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
    answer = at_paths(
        {
            FAILURES_PATH: failures,
            f"{USER_PATH}/notification-filter-failure": EMPTY,
            LIST_PATH: EMPTY,
        }
    )

    _, requests = run(bunq().list_page(SINCE, UNTIL, None), answer)

    assert [request.method for request in requests] == ["GET", "POST", "GET"]
    assert json.loads(requests[1].content) == {"notification_filter_failed_ids": "123,124"}


def test_11_money_of_a_request_is_seen_without_any_call_about_payments() -> None:
    body = recording("bunq", "callback_payment_received.json")

    assert verify(body).verdict is EventVerdict.SET_ASIDE
    assert read(inquiry("accepted")).facts.received == 12500


def test_12_no_header_but_the_signature_is_believed() -> None:
    body = call_about_inquiry()

    assert verify(body, x_forwarded_for="185.40.109.17") == verify(body)


# Calls


def test_a_call_about_another_account_is_set_aside() -> None:
    assert verify(call_about_inquiry(monetary_account_id=1)).reason == "foreign_account"


@pytest.mark.parametrize("name", ["Payment", "BunqMeTab", "ChatMessage", "requestinquiry", ""])
def test_a_call_about_anything_else_is_set_aside(name: str) -> None:
    assert verify(call_about(name, {"id": int(INQUIRY)})).reason == "unneeded_object"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"NotificationUrl": []}',
        b'{"NotificationUrl": {"category": "REQUEST"}}',
        call_about("RequestInquiry", {}, object={}),
        call_about("RequestInquiry", {}, object=[]),
        call_about("RequestInquiry", {}, object={"RequestInquiry": {}, "Payment": {}}),
        call_about("RequestInquiry", [int(INQUIRY)]),
        call_about("Payment", None),
        call_about("RequestInquiry", {}, category=1),
        call_about("RequestInquiry", {}, event_type=None),
        call_about_inquiry(id=INQUIRY),
        call_about_inquiry(id=True),
        call_about_inquiry(id=0),
        call_about_inquiry(id=-1),
        call_about_inquiry(id=2025724.0),
        call_about_inquiry(id=None),
        call_about_inquiry(monetary_account_id=str(ACCOUNT_ID)),
        call_about_inquiry(monetary_account_id=None),
        call_about("RequestInquiry", {"id": int(INQUIRY)}),
        call_about_inquiry() + b"x",
        call_about_inquiry().replace(b"{", b'{"NotificationUrl": 1, ', 1),
    ],
)
def test_a_call_of_another_shape_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        verify(body)


def test_without_a_key_at_hand_a_calls_signature_says_nothing() -> None:
    adapter = bunq(server_public_key_file=())

    assert verify(call_about_inquiry(), adapter, x_bunq_server_signature="AAAA").provider_id


def test_a_call_may_be_signed_with_any_of_the_keys(tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text(VECTORS["keys"]["other_public_key"])
    vector = next(one for one in VECTORS["vectors"] if one["name"] == "valid_callback")

    adapter = bunq(server_public_key_file=(other, SERVER_KEY_FILE))
    body = base64.b64decode(vector["body_base64"])

    assert verify(body, adapter, x_bunq_server_signature=vector["header_value"]).provider_id


# Status


def test_an_accepted_request_is_settled_and_its_money_booked() -> None:
    facts = read(inquiry("accepted")).facts

    assert (facts.status, facts.final) == (Status.SETTLED, True)
    assert (facts.amount, facts.money) == (12500, (12500, 0, 0, 12500))


def test_less_than_asked_is_part_paid_and_final() -> None:
    facts = read(inquiry(amount_responded=euros("100.00"))).facts

    assert (facts.status, facts.final) == (Status.PART_PAID, True)
    assert facts.money == (10000, 0, 0, 10000)


def test_more_than_asked_is_settled_and_flagged() -> None:
    seen = read(inquiry(amount_responded=euros("130.00")))

    assert (seen.facts.status, seen.facts.received) == (Status.SETTLED, 13000)
    assert seen.attention == {"more_than_asked"}


@pytest.mark.parametrize(
    "responded", [None, {"value": "125.00", "currency": "USD"}, euros("0.00"), euros("-125.00")]
)
def test_accepted_without_money_of_the_currency_asked_for_is_no_verdict(responded: object) -> None:
    with pytest.raises(Unreadable):
        read(inquiry(amount_responded=responded))


@pytest.mark.parametrize("value", ["0.00", "-1.00"])
def test_a_request_for_nothing_is_no_verdict(value: str) -> None:
    with pytest.raises(Unreadable):
        read(inquiry("pending", amount_inquired=euros(value)))


@pytest.mark.parametrize("status", [None, "", 5, ["ACCEPTED"], "x" * 101])
def test_a_missing_or_malformed_status_is_no_verdict(status: object) -> None:
    with pytest.raises(Unreadable):
        read(inquiry(status=status))


@pytest.mark.parametrize("word", ["CANCELLED", "accepted", "ACCEPTED "])
def test_a_word_that_is_not_documented_is_unmapped(word: str) -> None:
    exchange = bunq().read(Kind.REQUEST_INQUIRY, INQUIRY, None)

    assert run(exchange, always(json.dumps(inquiry(status=word)).encode()))[0] == Unmapped(word)


def test_an_accounts_own_word_goes_over_the_table() -> None:
    adapter = bunq(words={"CANCELLED": Status.CANCELLED})

    facts = read(inquiry("revoked", status="CANCELLED"), adapter=adapter).facts

    assert (facts.status, facts.final) == (Status.CANCELLED, True)


def test_an_account_may_say_that_accepted_money_is_not_booked_yet() -> None:
    facts = read(inquiry(), adapter=bunq(words={"ACCEPTED": Status.PAID})).facts

    assert (facts.status, facts.received, facts.booked) == (Status.PAID, 12500, 0)


def test_money_responded_to_a_request_that_is_not_accepted_is_flagged_and_not_counted() -> None:
    seen = read(inquiry("revoked", amount_responded=euros("125.00")))

    assert (seen.facts.status, seen.facts.received) == (Status.CANCELLED, 0)
    assert seen.attention == {"money_in_unpaid_request"}


@pytest.mark.parametrize("fields", [{"id": 2025725}, {"monetary_account_id": 1}])
def test_an_answer_about_another_request_or_account_is_refused(fields: Any) -> None:
    with pytest.raises(Unreadable):
        read(inquiry(**fields))


def test_a_request_is_looked_at_again_when_it_ends() -> None:
    seen = read(inquiry("pending", time_expiry="2025-04-02 09:00:00.123456"))

    assert seen.ends_at == datetime(2025, 4, 2, 9, 0, 0, 123456, tzinfo=UTC)
    assert read(inquiry("pending")).ends_at is None


@pytest.mark.parametrize("updated", [None, "", "2025-03-03", "2025-03-03T09:00:00Z", 17e8])
def test_a_request_without_a_time_of_change_is_no_verdict(updated: object) -> None:
    with pytest.raises(Unreadable):
        read(inquiry("pending", updated=updated))


def test_the_reference_is_the_merchants_unless_the_account_says_otherwise() -> None:
    shown = inquiry(counterparty_alias={"display_name": "C. Payer"})
    by_name = bunq(reference_from="counterparty_alias.display_name")

    assert read(shown).reference == "SO-10042"
    assert read(shown, adapter=by_name).reference == "C. Payer"


@pytest.mark.parametrize("reference", [None, "", "  ", "a\nb", "x" * 201])
def test_what_is_not_fit_to_be_a_reference_is_none(reference: str | None) -> None:
    assert read(inquiry(merchant_reference=reference)).reference is None


# Refunds


def test_refunds_are_what_left_the_account_with_the_same_reference() -> None:
    seen = read(
        inquiry(),
        payment(3, "-25.00"),
        payment(2, "-10.50"),
        payment(9, "-99.00", merchant_reference="SO-10043"),
        payment(8, "-99.00", merchant_reference=None),
        payment(7, "125.00"),
    )

    assert seen.facts.money == (12500, 3550, 0, 12500)
    assert (seen.facts.status, seen.attention) == (Status.SETTLED, frozenset())


def test_a_refund_moves_the_time_of_the_newest_money() -> None:
    seen = read(inquiry(), payment(3), payment(2, created="2025-03-03 12:00:00.000000"))

    assert seen.occurred_at == datetime(2025, 3, 4, 9, 0, 0, 1, tzinfo=UTC)
    assert seen.version == read(inquiry()).version


def test_a_refund_of_everything_reverses_the_request() -> None:
    answer = json.loads(recording("bunq", "payment_outgoing_refund.json"))

    facts = with_reversal(read(inquiry(), *answer["Response"]).facts)

    assert (facts.status, facts.refunded, facts.taken_back) == (Status.REVERSED, 12500, 0)


def test_more_given_back_than_received_is_reported_as_it_is() -> None:
    assert read(inquiry(), payment(3, "-100.00"), payment(2, "-100.00")).facts.refunded == 20000


def test_a_payment_that_shows_on_two_pages_counts_once() -> None:
    link = f"{ACCOUNT_PATH}/payment?count=200&older_id=3"

    seen = read(
        inquiry(),
        paths={PAYMENTS_PATH: paged(payment(3), older=link), link: paged(payment(3), payment(2))},
    )

    assert seen.facts.refunded == 5000


def test_payments_are_read_no_further_than_to_when_the_request_was_paid() -> None:
    before = payment(1, created="2025-03-03 09:07:31.715419")
    link = f"{ACCOUNT_PATH}/payment?count=200&older_id=1"

    seen = read(inquiry(), paths={PAYMENTS_PATH: paged(payment(3), before, older=link)})

    assert (seen.facts.refunded, seen.attention) == (2500, frozenset())


def test_where_not_all_payments_can_be_read_refunds_are_no_less_than_known() -> None:
    links = [f"{ACCOUNT_PATH}/payment?count=200&older_id={number}" for number in (3, 2, 1)]
    pages = {
        path: paged(payment(number), older=link)
        for path, number, link in zip([PAYMENTS_PATH, *links], (3, 2, 1), links, strict=False)
    }
    known = replace(read(inquiry()).facts, refunded=9000)

    seen = read(inquiry(), known=known, paths=pages)

    assert (seen.facts.refunded, seen.attention) == (9000, frozenset({"refund_unreadable"}))


def test_payments_that_cannot_be_found_leave_refunds_as_known() -> None:
    known = replace(read(inquiry()).facts, refunded=2500)
    exchange = bunq().read(Kind.REQUEST_INQUIRY, INQUIRY, known)

    seen, _ = run(exchange, at_paths({INQUIRY_PATH: inquiry()}))

    assert isinstance(seen, Observation)
    assert (seen.facts.refunded, seen.attention) == (2500, frozenset({"refund_unreadable"}))


def test_a_refund_in_another_currency_is_no_verdict() -> None:
    with pytest.raises(Unreadable):
        read(inquiry(), payment(3, amount={"value": "-1.00", "currency": "USD"}))


def test_an_answer_that_holds_anything_but_payments_is_no_list_of_them() -> None:
    with pytest.raises(Unreadable):
        read(inquiry(), *inquiry()["Response"])


@pytest.mark.parametrize(
    "shown", [inquiry("pending"), inquiry("rejected"), inquiry(merchant_reference=None)]
)
def test_without_money_or_a_reference_no_call_is_spent_on_payments(shown: dict[str, Any]) -> None:
    exchange = bunq().read(Kind.REQUEST_INQUIRY, INQUIRY, None)

    _, requests = run(exchange, always(json.dumps(shown).encode()))

    assert len(requests) == 1


# Pages


@pytest.mark.parametrize(
    "link",
    [
        f"https://evil.example{ACCOUNT_PATH}/payment?count=200",
        f"//evil.example{ACCOUNT_PATH}/payment?count=200",
        "/v1/user/1/monetary-account/1/payment?count=200",
        f"/v1{ACCOUNT_PATH}/payment?count=200",
        f"{ACCOUNT_PATH}/payment/../../../2/payment?count=200",
        f"{ACCOUNT_PATH}/request-inquiry?count=200",
        f"{ACCOUNT_PATH}/payment",
        f"{ACCOUNT_PATH}/payment?count=200#x",
        f"{ACCOUNT_PATH}/payment?count=200\r\nhost: x",
        f"{ACCOUNT_PATH}/payment?" + "x" * 301,
        PAYMENTS_PATH,
        5,
    ],
)
def test_a_link_that_leads_elsewhere_or_nowhere_is_not_followed(link: object) -> None:
    shown = {"Response": [payment(3)], "Pagination": {"older_url": link}}

    with pytest.raises(Unreadable):
        read(inquiry(), paths={PAYMENTS_PATH: shown})


def test_a_link_is_followed_below_an_api_that_is_mounted_elsewhere() -> None:
    adapter = bunq(api_base="http://127.0.0.1:9000/bunq/v1/")
    link = f"{ACCOUNT_PATH}/request-inquiry?count=2&older_id=2025726"
    first = paged({"RequestInquiry": entry(3)}, older=link)

    page, _ = run(adapter.list_page(SINCE, UNTIL, "count=2"), always(json.dumps(first).encode()))
    _, requests = run(
        adapter.list_page(SINCE, UNTIL, page.next), always(json.dumps(EMPTY).encode())
    )

    assert str(requests[0].url) == f"http://127.0.0.1:9000/bunq{link}"


def entry(number: int, *, created: str = "2025-03-03", updated: str = "2025-03-03") -> Any:
    """A request in a list."""
    return {"id": number, "created": f"{created} 12:00:00", "updated": f"{updated} 12:00:00"}


def listed(*entries: Any, older: str | None = None) -> tuple[tuple[str, ...], str | None]:
    answer = paged(*({"RequestInquiry": one} for one in entries), older=older)
    page, _ = run(bunq().list_page(SINCE, UNTIL, "count=200"), always(json.dumps(answer).encode()))
    return tuple(item.provider_id for item in page.items), page.next


def test_a_list_gives_each_request_with_the_version_that_it_shows() -> None:
    answer = always(recording("bunq", "request_inquiry_list_page_1_newest.json"))

    page, _ = run(bunq().list_page(SINCE, UNTIL, "count=200"), answer)

    assert page.items[1].version == 1_740_992_940_000_001
    assert page.next == "count=2&older_id=2025726"


def test_an_old_request_that_changed_since_is_listed_and_the_walk_goes_on() -> None:
    link = f"{ACCOUNT_PATH}/request-inquiry?count=200&older_id=1"
    changed = entry(2, created="2024-01-01", updated="2025-03-03")
    old = entry(1, created="2024-01-01", updated="2024-01-01")

    assert listed(changed, old, older=link) == (("2",), "count=200&older_id=1")


def test_the_walk_ends_with_a_page_on_which_everything_is_old() -> None:
    link = f"{ACCOUNT_PATH}/request-inquiry?count=200&older_id=1"
    old = entry(1, created="2024-01-01", updated="2024-01-01")

    assert listed(old, older=link) == ((), None)
    assert listed(older=link) == ((), None)


@pytest.mark.parametrize(
    "failure",
    [
        {"id": 1, "category": "REQUEST", "created": "2025-03-02 23:59:59.999999"},
        {"id": 1, "category": "MUTATION", "created": "2025-03-03 09:00:00"},
        {"category": "REQUEST"},
    ],
)
def test_given_up_calls_of_before_or_about_anything_else_are_left_alone(failure: Any) -> None:
    answer = at_paths(
        {FAILURES_PATH: paged({"NotificationFilterFailure": failure}), LIST_PATH: EMPTY}
    )

    _, requests = run(bunq().list_page(SINCE, UNTIL, None), answer)

    assert [request.method for request in requests] == ["GET", "GET"]


@pytest.mark.parametrize("failures", [None, {"Response": [{"Payment": {}}]}, b"<html>"])
def test_a_list_is_read_whatever_becomes_of_given_up_calls(failures: object) -> None:
    answer = at_paths({FAILURES_PATH: failures, LIST_PATH: paged({"RequestInquiry": entry(5)})})

    page, _ = run(bunq().list_page(SINCE, UNTIL, None), answer)

    assert [item.provider_id for item in page.items] == ["5"]


# Signed answers


def answered(adapter: Bunq, headers: dict[str, str], **extensions: Any) -> object:
    """Read the accepted request, unreferenced, from an answer with these headers."""
    vector = next(one for one in VECTORS["vectors"] if one["name"] == "valid_api_response")
    exchange = adapter.read(Kind.REQUEST_INQUIRY, INQUIRY, None)
    request = next(exchange)
    request.extensions = extensions
    body = base64.b64decode(vector["body_base64"])
    response = httpx.Response(200, headers=headers, content=body, request=request)
    return exchange.send(response)


def signature_of(name: str) -> dict[str, str]:
    vector = next(one for one in VECTORS["vectors"] if one["name"] == name)
    return {SIGNATURE: vector["header_value"]}


@pytest.mark.parametrize("required", [True, False])
def test_an_answer_with_a_good_signature_is_read_on(required: bool) -> None:
    following = answered(bunq(require_signed_answers=required), signature_of("valid_api_response"))

    assert isinstance(following, httpx.Request)
    assert following.url.raw_path.decode() == PAYMENTS_PATH


@pytest.mark.parametrize("name", ["valid_callback", "invalid_empty_header", "invalid_sha1"])
@pytest.mark.parametrize("required", [True, False])
def test_an_answer_with_a_wrong_signature_is_unreadable(required: bool, name: str) -> None:
    with pytest.raises(Unreadable, match="bad_signature"):
        answered(bunq(require_signed_answers=required), signature_of(name))


def test_an_answer_without_a_signature_is_unreadable_only_where_one_is_required() -> None:
    assert isinstance(answered(bunq(), {}), httpx.Request)
    with pytest.raises(Unreadable, match="bad_signature"):
        answered(bunq(require_signed_answers=True), {})


def test_an_answer_may_be_signed_with_the_installations_key() -> None:
    adapter = bunq(server_public_key_file=())
    key = VECTORS["keys"]["server_public_key"]

    following = answered(adapter, signature_of("valid_api_response"), server_public_key=key)

    assert isinstance(following, httpx.Request)
    with pytest.raises(Unreadable, match="bad_signature"):
        answered(
            adapter,
            signature_of("valid_api_response"),
            server_public_key=VECTORS["keys"]["other_public_key"],
        )


# Sessions


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


def test_the_first_session_takes_an_installation_a_device_and_a_log_in() -> None:
    kept, calls = opened()

    assert [call.url.path for call in calls] == [
        "/v1/installation",
        "/v1/device-server",
        "/v1/session-server",
    ]
    assert kept["session_token"] == "1" * 64


def test_later_sessions_take_a_log_in_only() -> None:
    kept, _ = opened()

    again, calls = opened_from(kept, bunq())

    assert [call.url.path for call in calls] == ["/v1/session-server"]
    assert again["private_key"] == kept["private_key"]


def test_each_step_is_kept_before_the_next_and_holds_nobody_up() -> None:
    first, _ = step({}, bunq())
    second, _ = step(first.values, bunq())
    third, _ = step(second.values, bunq())

    assert [one.counts for one in (first, second, third)] == [False, False, True]
    assert [one.expires_in_seconds for one in (first, second, third)] == [0.0, 0.0, 604_800.0]


def test_the_first_two_steps_carry_what_bunq_asks_for() -> None:
    kept, (install, register, _) = opened()

    assert "x-bunq-client-authentication" not in install.headers
    assert "x-bunq-client-signature" not in install.headers
    public = json.loads(install.content)["client_public_key"]
    assert public_key_of(public.encode()).key_size == 2048
    assert register.headers["x-bunq-client-authentication"] == kept["installation_token"]
    assert json.loads(register.content) == {
        "description": "settled",
        "secret": "sandbox_0123456789abcdef",
    }


def test_a_log_in_is_signed_with_the_key_of_the_installation() -> None:
    _, (install, _, log_in) = opened()
    key = public_key_of(json.loads(install.content)["client_public_key"].encode())

    assert json.loads(log_in.content) == {"secret": "sandbox_0123456789abcdef"}
    assert log_in.headers["x-bunq-client-authentication"] == "0" * 64
    assert is_signed(log_in.content, log_in.headers["x-bunq-client-signature"], [key])


def test_addresses_are_permitted_only_where_they_are_configured() -> None:
    adapter = bunq(permitted_ips=("203.0.113.10", "*"), device_description="erp")

    _, (_, register, _) = opened_from({}, adapter)

    body = json.loads(register.content)
    assert (body["permitted_ips"], body["description"]) == (["203.0.113.10", "*"], "erp")


def refused(kept: Mapping[str, str]) -> Session:
    """Log in and be told that the installation is not known."""
    exchange: Exchange[Session] = bunq().open_session(kept)
    assert next(exchange).url.path == "/v1/session-server"
    with pytest.raises(StopIteration) as done:
        exchange.throw(Unauthorised("http_401"))
    session = done.value.value
    assert isinstance(session, Session)
    return session


def test_an_installation_that_served_and_is_refused_is_begun_anew_after_a_pause() -> None:
    kept, _ = opened()

    session = refused(kept)

    assert session == Session({}, 0.0, counts=True)
    assert next(bunq().open_session(session.values)).url.path == "/v1/installation"


def test_a_new_installation_that_is_refused_is_not_replaced_by_yet_another() -> None:
    with pytest.raises(Unauthorised):
        refused(registered())


@pytest.mark.parametrize(
    "keys", [{"api_key": Secret("another")}, {"api_base": "https://public-api.sandbox.example/v1"}]
)
def test_another_api_key_or_address_begins_with_an_installation_of_its_own(keys: Any) -> None:
    kept, _ = opened()

    request = next(bunq(**keys).open_session(kept))

    assert request.url.path == "/v1/installation"
    assert kept["private_key"] not in request.content.decode()


@pytest.mark.parametrize("timeout", [None, 0, -1, "604800", 1.5])
def test_a_session_without_a_life_is_unreadable(timeout: object) -> None:
    answer = json.loads(recording("bunq", "session_server_response.json"))
    answer["Response"][2]["UserCompany"]["session_timeout"] = timeout

    with pytest.raises(Unreadable):
        run(bunq().open_session(registered()), always(json.dumps(answer).encode()))


@pytest.mark.parametrize("key", ["", "no key", VECTORS["keys"]["server_public_key"][:200]])
def test_an_installation_without_a_public_key_is_unreadable(key: str) -> None:
    answer = json.loads(recording("bunq", "installation_response.json"))
    answer["Response"][2]["ServerPublicKey"]["server_public_key"] = key

    with pytest.raises(Unreadable):
        run(bunq().open_session({}), always(json.dumps(answer).encode()))


def test_an_authorised_call_carries_the_token_and_keeps_what_it_had() -> None:
    request = httpx.Request("GET", "https://api.bunq.example/v1/user", headers={"User-Agent": "us"})

    sent = bunq().authorise(request, a_session())

    assert sent.headers["x-bunq-client-authentication"] == "1" * 64
    assert sent.headers["cache-control"] == "no-cache"
    assert sent.headers["user-agent"] == "us"
    assert "x-bunq-client-signature" not in sent.headers
    assert "x-bunq-client-authentication" not in request.headers


def test_the_body_of_an_authorised_call_is_signed_byte_for_byte() -> None:
    kept, (install, *_) = opened()
    key = public_key_of(json.loads(install.content)["client_public_key"].encode())
    request = httpx.Request(
        "POST", "https://api.bunq.example/v1/user", content=b'{"a": "\xc3\xa9"}'
    )

    sent = bunq().authorise(request, Session(kept, 60.0))

    assert sent.content == request.content
    assert is_signed(sent.content, sent.headers["x-bunq-client-signature"], [key])


def test_a_token_is_shown_to_nobody_but_where_it_came_from() -> None:
    elsewhere = bunq(api_base="https://public-api.sandbox.example/v1")
    request = httpx.Request("GET", "https://public-api.sandbox.example/v1/user")

    sent = elsewhere.authorise(request, a_session())

    assert "x-bunq-client-authentication" not in sent.headers


# Statuses and keys


def test_maintenance_is_a_time_to_wait_and_other_statuses_mean_what_they_mean_everywhere() -> None:
    assert isinstance(bunq().error_for(httpx.Response(491)), Unavailable)
    for status in (200, 399, 400, 401, 404, 429, 466, 490, 500):
        assert bunq().error_for(httpx.Response(status)) is None


@pytest.mark.parametrize("key", ["user_id", "monetary_account_id"])
def test_ids_of_the_account_are_positive(key: str) -> None:
    keys: Any = {"user_id": USER_ID, "monetary_account_id": ACCOUNT_ID, key: 0}

    with pytest.raises(Expected) as error:
        BunqKeys(api_base="https://api.bunq.example/v1", api_key=Secret("k"), **keys)
    assert error.value.at == key


@pytest.mark.parametrize("content", [None, b"", b"no key", b"\xff", "short", "private"])
def test_a_key_file_that_holds_no_public_key_is_named(
    content: bytes | str | None, tmp_path: Path
) -> None:
    file = tmp_path / "bunq.pem"
    if content == "short":
        content = public_pem(generate_private_key(65537, 1024)).encode()
    elif content == "private":
        content = opened()[0]["private_key"].encode()
    if isinstance(content, bytes):
        file.write_bytes(content)

    with pytest.raises(Misconfigured, match=str(file)):
        bunq(server_public_key_file=file)
