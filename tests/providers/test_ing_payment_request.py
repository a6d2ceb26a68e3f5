"""The traps of ING's payment requests, one test each. Source: fact sheet ing_payment_request."""

import base64
import hashlib
import json
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from service.domain.money import Money
from service.domain.request import Kind, Observation, Unmapped
from service.domain.status import Status
from service.errors import Malformed, Misconfigured, Unreadable
from service.providers import (
    AccountContext,
    ChecksOrders,
    HasList,
    LagsBehind,
    NeedsSession,
    SendsWebhooks,
    Session,
)
from service.providers.ing_payment_request import IngKeys, IngPaymentRequest
from service.settings import Secret, parse
from tests.providers.exchange import always, at_paths, run
from tests.providers.world import recording

REQUEST = "xrgq1coyp1pnnfigiaaa6pqn1o9lc0gh"
CLIENT = "dc46e4b8-70aa-4da4-b74a-a2576680f004"
HERE = f"/payment-requests/{REQUEST}"
NOW = datetime(2024, 5, 14, 9, 12, 3, tzinfo=UTC)
REQUEST_ID = UUID("6f1bd3a6-3c41-4f28-9d0e-6a4d36a2c1d7")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EMPTY_DIGEST = "SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # source: section 4.3
BEARER = Session({"token": "t0ken", "style": "mutual_tls"}, 900.0)
SIGNED_BEARER = Session({"token": "t0ken", "style": "signature"}, 900.0)


def pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = KEY,
    encryption: KeySerializationEncryption | None = None,
) -> str:
    return key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()
    ).decode()


def ing(*, signs: bool = False, **context: Any) -> IngPaymentRequest:
    keys = IngKeys(
        api_base="https://api.ing.example/",
        client_id=Secret(CLIENT),
        tls_certificate_file=Path("tls.pem"),
        tls_key_file=Path("tls.key"),
        signing_key=Secret(pem()) if signs else None,
    )
    surroundings = AccountContext(**{"name": "ing", "words": {}, "live": False, **context})
    return IngPaymentRequest(keys, surroundings, now=lambda: NOW, new_id=lambda: REQUEST_ID)


def request(**changes: Any) -> dict[str, Any]:
    """Return an open request for one payment of 124.95; None takes a field away."""
    body = json.loads(recording("ing_payment_request", "get_open.json")) | changes
    return {name: value for name, value in body.items() if value is not None}


def euros(value: float) -> dict[str, Any]:
    return {"value": value, "currency": "EUR"}


def payment(value: float, number: int = 1, **changes: Any) -> dict[str, Any]:
    body = {
        "transactionId": f"{number:016d}",
        "executed": "2024-05-16T14:17:20.124+02:00",
        "amount": euros(value),
        "debtor": {"name": "J. de Vries", "iban": "NL99INGB0000006789"},
    }
    return body | changes


def seen(
    body: Mapping[str, Any] | bytes, *payments: Mapping[str, Any], **context: Any
) -> Observation:
    """Read a request with these payments that is known to be an observation."""
    answers = at_paths({HERE: body, f"{HERE}/payments": {"payments": payments}})
    answer, _ = run(ing(**context).read(Kind.PAYMENT_REQUEST, REQUEST, None), answers)
    assert isinstance(answer, Observation)
    return answer


def at(*payments: float, **changes: Any) -> tuple[Status, int, bool]:
    """Return status, received and final of a request with these payments."""
    listed = [payment(value, number) for number, value in enumerate(payments)]
    facts = seen(request(**changes), *listed).facts
    return facts.status, facts.received, facts.final


# What the words and the payments come to (section 6.3)


@pytest.mark.parametrize(
    ("word", "paid", "expected"),
    [
        ("open", [], (Status.OPEN, 0, False)),
        ("open", [24.95], (Status.PART_PAID, 2495, False)),
        ("open", [24.95, 100], (Status.PAID, 12495, True)),
        ("open", [124.95, 124.95], (Status.PAID, 24990, True)),
        ("fulfilled", [], (Status.PROCESSING, 0, False)),
        ("fulfilled", [24.95], (Status.PART_PAID, 2495, True)),
        ("fulfilled", [124.95], (Status.PAID, 12495, True)),
        ("expired", [], (Status.EXPIRED, 0, True)),
        ("expired", [24.95], (Status.PART_PAID, 2495, True)),
        ("expired", [124.95], (Status.PAID, 12495, True)),
        ("closed", [], (Status.CANCELLED, 0, True)),
        ("closed", [24.95], (Status.PART_PAID, 2495, True)),
        ("closed", [124.95], (Status.PAID, 12495, True)),
    ],
)
def test_the_sum_of_payments_decides_and_the_word_only_whether_more_may_come(
    word: str, paid: list[float], expected: tuple[Status, int, bool]
) -> None:
    assert at(*paid, status=word) == expected


def test_fulfilled_is_not_paid_where_the_payer_chose_a_smaller_amount() -> None:
    free = {"suggestedValue": 50.00, "minimumValue": 10.00, "currency": "EUR"}
    body = {"status": "fulfilled", "fixedAmount": None, "maximumReceivableAmount": None}

    assert at(10.00, variableAmount=free, **body) == (Status.PART_PAID, 1000, True)


def test_fulfilled_without_visible_payments_is_flagged_and_read_again() -> None:
    observation = seen(request(status="fulfilled"))

    assert observation.attention == {"payments_not_visible"}
    assert (observation.facts.status, observation.facts.final) == (Status.PROCESSING, False)


def test_an_invoice_paid_twice_is_more_than_asked() -> None:
    observation = seen(request(), payment(124.95, 1), payment(124.95, 2))

    assert observation.attention == {"more_than_asked"}
    assert (observation.facts.amount, observation.facts.received) == (12495, 24990)


def test_a_payment_listed_twice_counts_once() -> None:
    assert seen(request(), payment(24.95), payment(24.95)).facts.received == 2495


def test_a_payment_with_two_amounts_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        seen(request(), payment(24.95), payment(24.96))


def test_the_deprecated_list_in_the_request_is_not_looked_at() -> None:
    body = recording("ing_payment_request", "get_fulfilled_with_deprecated_transactions.json")

    assert seen(body).facts.received == 0
    assert seen(body, payment(124.95)).facts.received == 12495


def test_payments_are_read_after_the_request_so_that_none_falls_between() -> None:
    answers = at_paths({HERE: request(), f"{HERE}/payments": {"payments": []}})
    _, requests = run(ing().read(Kind.PAYMENT_REQUEST, REQUEST, None), answers)

    assert [one.url.raw_path.decode() for one in requests] == [HERE, f"{HERE}/payments"]


def test_payments_that_are_not_found_say_nothing_about_the_request() -> None:
    with pytest.raises(Unreadable):
        run(ing().read(Kind.PAYMENT_REQUEST, REQUEST, None), at_paths({HERE: request()}))


@pytest.mark.parametrize("payments", [{}, {"payments": None}, [], {"payments": [{}]}])
def test_payments_of_another_shape_are_unreadable(payments: object) -> None:
    answers = at_paths({HERE: request(), f"{HERE}/payments": payments})

    with pytest.raises(Unreadable):
        run(ing().read(Kind.PAYMENT_REQUEST, REQUEST, None), answers)


def test_with_the_setting_what_is_paid_is_on_the_account_at_once() -> None:
    paid = seen(request(), payment(124.95), paid_is_settled=True).facts
    part = seen(request(), payment(24.95), paid_is_settled=True).facts

    assert (paid.status, paid.final, paid.booked) == (Status.SETTLED, True, 12495)
    assert (part.status, part.final, part.booked) == (Status.PART_PAID, False, 2495)
    assert seen(request(), payment(124.95)).facts.booked == 0


# What was asked (STATUSES.md, section 2, point 4)


VARIABLE = {"suggestedValue": 50.0, "currency": "EUR"}


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, 12495),
        ({"maximumReceivableAmount": euros(200)}, 20000),
        ({"maximumReceivableAmount": None, "maximumAllowedPayments": 3}, 37485),
        ({"maximumReceivableAmount": None, "maximumAllowedPayments": None}, 12495),
        ({"fixedAmount": None, "variableAmount": VARIABLE}, 12495),
        ({"fixedAmount": None, "variableAmount": VARIABLE, "maximumReceivableAmount": None}, 5000),
    ],
)
def test_what_was_asked_is_the_maximum_else_the_fixed_or_the_suggested_amount(
    changes: dict[str, Any], asked: int
) -> None:
    assert seen(request(**changes)).facts.amount == asked


def test_an_amount_left_to_the_payers_is_paid_once_a_maximum_is_reached() -> None:
    free = {
        "fixedAmount": None,
        "maximumReceivableAmount": None,
        "variableAmount": {"suggestedValue": 0, "currency": "EUR"},
    }

    assert seen(request(**free)).facts.amount is None
    assert at(7.5, **free) == (Status.PART_PAID, 750, False)
    assert at(7.5, status="fulfilled", **free) == (Status.PAID, 750, True)


def test_a_request_without_any_amount_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        seen(request(fixedAmount=None, maximumReceivableAmount=None))


# Amounts (section 1, fact 6)


@pytest.mark.parametrize(
    ("number", "cents"),
    [
        ("0.29", 29),
        ("0.1", 10),
        ("100.0", 10000),
        ("100", 10000),
        ("40.000", 4000),
        ("1.1e2", 11000),
        ("9999999999.99", 999_999_999_999),
    ],
)
def test_amounts_are_decimal_text_and_never_binary_floats(number: str, cents: int) -> None:
    body = json.dumps(request()).replace('"value": 124.95', f'"value": {number}')

    assert seen(body.encode()).facts.amount == cents


@pytest.mark.parametrize(
    "value", ["0.30000000000000004", "0.001", "-0.01", "true", "null", '"9.99"', "NaN", "1e40"]
)
def test_an_amount_that_is_not_whole_cents_is_unreadable(value: str) -> None:
    body = json.dumps(request()).replace('"value": 124.95', f'"value": {value}')

    with pytest.raises(Unreadable):
        seen(body.encode())


def test_any_currency_but_euros_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        seen(request(), payment(1, amount={"value": 1, "currency": "USD"}))


# Words


def test_a_word_of_the_accounts_own_goes_over_the_table() -> None:
    assert seen(request(status="paused"), words={"paused": Status.HELD}).facts.status is Status.HELD


def test_a_word_that_promises_money_does_not_replace_it() -> None:
    observation = seen(request(status="done"), words={"done": Status.PAID})

    assert observation.facts.status is Status.PROCESSING
    assert observation.attention == {"payments_not_visible"}


def test_an_unknown_word_stops_the_read_before_it_costs_another_call() -> None:
    body = json.dumps(request(status="Open")).encode()
    answer, requests = run(ing().read(Kind.PAYMENT_REQUEST, REQUEST, None), always(body))

    assert (answer, len(requests)) == (Unmapped("Open"), 1)


@pytest.mark.parametrize("word", [None, "", 7, ["open"]])
def test_a_missing_or_malformed_status_is_no_verdict(word: object) -> None:
    with pytest.raises(Unreadable):
        seen({**request(), "status": word})


# Times and reference


def test_a_request_is_looked_at_when_it_ends_and_an_hour_and_a_day_later() -> None:
    assert seen(request()).ends_at == datetime(2024, 6, 18, 21, 59, 59, tzinfo=UTC)
    assert isinstance(ing(), LagsBehind)
    assert ing().looks_after_end == (3600.0, 86400.0)


@pytest.mark.parametrize(
    "text", ["2024-06-18T23:59:59", "2024-6-18T23:59:59+02:00", "2024-06-31T00:00:00Z", "", 7]
)
def test_an_end_without_zone_or_with_a_month_of_one_digit_is_unreadable(text: object) -> None:
    with pytest.raises(Unreadable):
        seen(request(validUntil=text))


def test_the_newest_payment_tells_when_it_happened_else_the_end() -> None:
    later = payment(1, 2, executed="2024-05-17T20:10:05.919+02:00")
    end = datetime(2024, 6, 18, 21, 59, 59, tzinfo=UTC)

    newest = seen(request(), later, payment(1)).occurred_at
    assert newest == datetime(2024, 5, 17, 18, 10, 5, 919000, tzinfo=UTC)
    assert seen(request(status="expired")).occurred_at == end
    assert seen(request()).occurred_at is None


def test_the_reference_is_the_purchase_id_or_the_field_that_the_account_names() -> None:
    assert seen(request()).reference == "SI000317"
    assert seen(request(), reference_from="description").reference == "Invoice SI 000317"
    assert seen(request(), reference_from="fixedAmount").reference is None


# The token (section 4)


def opening(adapter: IngPaymentRequest) -> tuple[Session, httpx.Request]:
    answer = always(recording("ing_payment_request", "token_response.json"))
    session, (asked,) = run(adapter.open_session({}), answer)
    return session, asked


def form_of(asked: httpx.Request) -> dict[str, list[str]]:
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    return parse_qs(asked.content.decode())


def check_signature(value: str, text: str) -> None:
    """Verify the signature in a header's value over text; raises where it is another's."""
    fields = dict(part.split("=", 1) for part in value.split(","))
    assert fields["keyId"] == f'"{CLIENT}"'
    assert fields["algorithm"] == '"rsa-sha256"'
    assert fields["headers"] == '"(request-target) date digest"'
    signature = base64.b64decode(fields["signature"].strip('"'))
    KEY.public_key().verify(signature, text.encode(), PKCS1v15(), SHA256())


def test_a_token_is_asked_for_with_the_certificate_alone() -> None:
    session, asked = opening(ing())

    assert (asked.method, str(asked.url)) == ("POST", "https://api.ing.example/oauth2/token")
    assert form_of(asked) == {
        "grant_type": ["client_credentials"],
        "scope": ["payment-requests:view"],
        "client_id": [CLIENT],
    }
    assert "authorization" not in asked.headers
    assert session == Session(
        {"token": "eyJhbGciOiJkaXIiLCJlbmMiOi.example", "style": "mutual_tls"}, 900.0
    )


def test_a_signed_token_request_carries_its_signature_over_the_exact_bytes() -> None:
    session, asked = opening(ing(signs=True))
    digest = digest_of(asked.content)
    style, value = asked.headers["authorization"].split(" ", 1)

    assert (style, asked.headers["digest"]) == ("Signature", digest)
    assert "client_id" not in form_of(asked)
    check_signature(
        value,
        "(request-target): post /oauth2/token\n"
        f"date: Tue, 14 May 2024 09:12:03 GMT\ndigest: {digest}",
    )
    assert session.values["style"] == "signature"


def digest_of(data: bytes) -> str:
    return "SHA-256=" + base64.b64encode(hashlib.sha256(data).digest()).decode()


@pytest.mark.parametrize(
    "answer",
    [
        {"message": "grant_type is missing"},
        {"access_token": "", "expires_in": 900},
        {"access_token": "a\r\nX-Evil: 1", "expires_in": 900},
        {"access_token": "tök", "expires_in": 900},
        {"access_token": "t", "expires_in": 0},
        {"access_token": "t", "expires_in": "900"},
    ],
)
def test_an_answer_without_a_usable_token_opens_no_session(answer: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        run(ing().open_session({}), always(json.dumps(answer).encode()))


# Calls (section 4.3)


def call(query: str = "") -> httpx.Request:
    return httpx.Request("GET", f"https://api.ing.example{HERE}{query}", headers={"Accept": "a/b"})


def test_a_call_shows_the_token_and_nothing_else_without_a_signing_key() -> None:
    sent = ing().authorise(call(), BEARER)

    assert (sent.method, sent.url, sent.headers["accept"]) == ("GET", call().url, "a/b")
    assert sent.headers["authorization"] == "Bearer t0ken"
    assert not {"signature", "digest", "date", "x-ing-reqid"} & set(sent.headers)


def test_a_signed_call_signs_the_method_in_lower_case_with_path_and_query() -> None:
    sent = ing(signs=True).authorise(call("?a=b%2Fc"), SIGNED_BEARER)

    assert sent.headers["authorization"] == "Bearer t0ken"
    assert sent.headers["date"] == "Tue, 14 May 2024 09:12:03 GMT"
    assert sent.headers["digest"] == EMPTY_DIGEST
    assert sent.headers["x-ing-reqid"] == str(REQUEST_ID)
    assert sent.headers["signature"].startswith("keyId=")
    check_signature(
        sent.headers["signature"],
        f"(request-target): get {HERE}?a=b%2Fc\n"
        f"date: Tue, 14 May 2024 09:12:03 GMT\ndigest: {EMPTY_DIGEST}",
    )


def test_the_digest_is_of_the_bytes_that_are_sent_not_of_equal_json() -> None:
    body = b'{"value": 124.950}\r\n'
    sent = ing(signs=True).authorise(
        httpx.Request("POST", "https://api.ing.example/x", content=body), SIGNED_BEARER
    )

    assert sent.content == body
    assert sent.headers["digest"] == digest_of(body)


@pytest.mark.parametrize(("signs", "kept"), [(True, BEARER), (False, SIGNED_BEARER)])
def test_a_token_of_one_style_is_never_shown_in_the_other(signs: bool, kept: Session) -> None:
    assert "authorization" not in ing(signs=signs).authorise(call(), kept).headers


def test_every_try_has_a_request_id_of_its_own_and_leaves_the_request_as_it_was() -> None:
    keys = IngKeys(
        api_base="https://api.ing.example",
        client_id=Secret(CLIENT),
        tls_certificate_file=Path("tls.pem"),
        tls_key_file=Path("tls.key"),
        signing_key=Secret(pem()),
    )
    adapter, asked = IngPaymentRequest(keys, AccountContext("ing", {}, live=False)), call()
    first, second = (adapter.authorise(asked, SIGNED_BEARER).headers for _ in range(2))

    assert first["x-ing-reqid"] != second["x-ing-reqid"]
    assert "authorization" not in asked.headers


# Keys and limits


def configured(text: str) -> IngKeys:
    table = tomllib.loads(f"""
        [[account]]
        name = "ing"
        provider = "ing_payment_request"
        api_base = "https://api.ing.example"
        tls_certificate_file = "tls.pem"
        tls_key_file = "tls.key"
        {text}
        """)
    settings = parse(table, source="s.toml", environ={"CLIENT": CLIENT}, base=Path("/etc/s"))
    return settings.accounts[0].keys_as(IngKeys)


def test_the_keys_are_those_of_the_contract(tmp_path: Path) -> None:
    (tmp_path / "sign.key").write_text(pem())
    keys = configured(f'client_id_env = "CLIENT"\nsigning_key_file = "{tmp_path}/sign.key"')

    assert keys.certificate == (Path("/etc/s/tls.pem"), Path("/etc/s/tls.key"))
    assert keys.signing_key == Secret(pem().rstrip())
    assert configured('client_id_env = "CLIENT"').signing_key is None


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----",
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(encryption=BestAvailableEncryption(b"hunter2")),
    ],
)
def test_a_signing_key_that_cannot_sign_stops_the_start(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"account\[0\]\.signing_key: expected an RSA private"):
        configured(f'client_id_env = "CLIENT"\nsigning_key = """{text}"""')


def test_a_client_id_that_fits_no_header_stops_the_start() -> None:
    with pytest.raises(Misconfigured, match=r"account\[0\]\.client_id: expected letters"):
        configured('client_id = "a\\"b"')


def test_it_can_be_polled_and_nothing_else() -> None:
    assert isinstance(ing(), NeedsSession)
    assert not isinstance(ing(), SendsWebhooks | HasList)


def test_an_order_above_5000_euros_has_to_be_split_over_several_requests() -> None:
    adapter = ing()
    assert isinstance(adapter, ChecksOrders)

    adapter.check_order(Money(500_000, "EUR"), requests=1)
    adapter.check_order(Money(1_000_000, "EUR"), requests=2)
    adapter.check_order(Money(1_000_000, "EUR"), requests=0)
    with pytest.raises(Malformed, match=r"at most 5000\.00 EUR"):
        adapter.check_order(Money(500_001, "EUR"), requests=1)
    with pytest.raises(Malformed, match="EUR only"):
        adapter.check_order(Money(100, "USD"), requests=1)
