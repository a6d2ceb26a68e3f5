"""How we log in at ING, in either style. Source: fact sheet ing_payment_request, section 4."""

import json
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

from service.errors import Misconfigured, Unreadable
from service.providers import AccountContext, HasList, NeedsSession, SendsWebhooks, Session
from service.providers.ing_payment_request import IngKeys, IngPaymentRequest
from service.settings import Expected, Secret, parse
from tests.providers.exchange import always, run
from tests.providers.ing_payment_request_bodies import (
    BEARER,
    CLIENT,
    EMPTY_DIGEST,
    HERE,
    REQUEST_ID,
    SIGNED_BEARER,
    check_signature,
    digest_of,
    ing,
    pem,
)
from tests.providers.world import recording

# The token (section 4)


def opening(adapter: IngPaymentRequest) -> tuple[Session, httpx.Request]:
    answer = always(recording("ing_payment_request", "token_response.json"))
    session, (asked,) = run(adapter.open_session({}), answer)
    return session, asked


def form_of(asked: httpx.Request) -> dict[str, list[str]]:
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    return parse_qs(asked.content.decode())


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


def test_it_is_polled_because_no_webhook_ever_comes_and_there_is_no_list() -> None:
    assert isinstance(ing(), NeedsSession)
    assert not isinstance(ing(), SendsWebhooks | HasList)


# The certificate (section 3)


@pytest.mark.parametrize("missing", ["tls_certificate_file", "tls_key_file"])
def test_over_https_both_files_of_the_certificate_are_asked_for(missing: str) -> None:
    files: dict[str, Any] = {
        "tls_certificate_file": Path("tls.pem"),
        "tls_key_file": Path("tls.key"),
    }

    with pytest.raises(Expected, match="client certificate"):
        IngKeys(api_base="https://api.ing.com", client_id=Secret("c"), **files | {missing: None})


def test_without_https_nobody_sees_a_certificate_and_none_is_asked_for() -> None:
    bare = IngKeys(api_base="http://127.0.0.1:9000", client_id=Secret("c"))
    named = IngKeys(
        api_base="http://127.0.0.1:9000",
        client_id=Secret("c"),
        tls_certificate_file=Path("tls.pem"),
        tls_key_file=Path("tls.key"),
    )

    assert (bare.certificate, named.certificate) == (None, None)
