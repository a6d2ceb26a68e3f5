"""bunq: the handshake, authorised calls and signed answers."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from service.domain.request import Kind
from service.errors import (
    Misconfigured,
    Unauthorised,
    Unavailable,
    Unreadable,
)
from service.providers import Exchange, Session
from service.providers.bunq import Bunq, BunqKeys
from service.providers.bunq.signature import is_signed, public_key_of, public_pem
from service.settings import Expected, Secret
from tests.providers.bunq_bodies import (
    SIGNATURE,
    VECTORS,
    a_session,
    bunq,
    opened,
    opened_from,
    registered,
    step,
)
from tests.providers.exchange import always, run
from tests.providers.table_bunq import (
    ACCOUNT_ID,
    INQUIRY,
    PAYMENTS_PATH,
    USER_ID,
)
from tests.providers.world import recording


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


def test_what_we_send_in_a_handshake_is_what_was_recorded() -> None:
    adapter = bunq(
        api_key=Secret("sandbox_EXAMPLE_API_KEY"),
        device_description="payments-processor",
        permitted_ips=("203.0.113.10",),
    )

    _, (install, register, log_in) = opened_from({}, adapter)

    recorded = {
        name: json.loads(recording("bunq", f"{name}_request.json"))
        for name in ("installation", "device_server", "session_server")
    }
    assert json.loads(install.content).keys() == recorded["installation"].keys()
    assert json.loads(register.content) == recorded["device_server"]
    assert json.loads(log_in.content) == recorded["session_server"]


@pytest.mark.parametrize("token", ["a\r\nhost: evil", "é", "a b", "a\n", "", "x" * 4097, None])
@pytest.mark.parametrize("file", ["installation", "session_server"])
def test_a_token_that_cannot_stand_in_a_header_is_unreadable(file: str, token: object) -> None:
    answer = json.loads(recording("bunq", f"{file}_response.json"))
    answer["Response"][1]["Token"]["token"] = token
    kept = {} if file == "installation" else registered()

    with pytest.raises(Unreadable):
        run(bunq().open_session(kept), always(json.dumps(answer).encode()))


def test_a_session_is_renewed_after_30_days_however_long_it_is_said_to_last() -> None:
    answer = json.loads(recording("bunq", "session_server_response.json"))
    answer["Response"][2]["UserCompany"]["session_timeout"] = 10**17

    session, _ = run(bunq().open_session(registered()), always(json.dumps(answer).encode()))

    assert session.expires_in_seconds == 30 * 86_400.0


def test_a_session_has_one_user() -> None:
    answer = json.loads(recording("bunq", "session_server_response.json"))
    without, twice = answer["Response"][:2], [*answer["Response"], answer["Response"][2]]

    for users in (without, twice):
        body = json.dumps({"Response": users}).encode()
        with pytest.raises(Unreadable):
            run(bunq().open_session(registered()), always(body))


@pytest.mark.parametrize("kind", ["UserPerson", "UserApiKey", "UserPaymentServiceProvider"])
def test_a_session_may_be_of_any_kind_of_user(kind: str) -> None:
    answer = json.loads(recording("bunq", "session_server_response.json"))
    answer["Response"][2] = {kind: answer["Response"][2]["UserCompany"]}

    session, _ = run(bunq().open_session(registered()), always(json.dumps(answer).encode()))

    assert session.values["session_token"] == "1" * 64


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
