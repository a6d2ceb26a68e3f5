"""How one comes in at bunq. Source: fact sheet bunq, sections 1, 3, 7, 8 and 9."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import cache
from typing import Any

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.sandbox.bunq_worlds import (
    ACCOUNT,
    BUNQ_KEY,
    INQUIRIES,
    SETTINGS,
    USER,
    USER_ID,
    Clock,
    Till,
    client_key,
    is_the_error,
    open_till,
    pem,
    shape,
    signature,
)
from tests.sandbox.worlds import sample


@pytest.fixture
async def till() -> AsyncIterator[Till]:
    async with open_till(call_limit_factor=100) as till:
        yield till


def assert_signed_by(server_public_pem: str, answer: httpx.Response) -> None:
    key = load_pem_public_key(server_public_pem.encode())
    assert isinstance(key, rsa.RSAPublicKey)
    told = base64.b64decode(answer.headers["x-bunq-server-signature"], validate=True)
    key.verify(told, answer.content, padding.PKCS1v15(), SHA256())


async def test_the_handshake_answers_in_the_shapes_of_its_samples(till: Till) -> None:
    installed = await till.install()
    registered = await till.register_device()
    opened = await till.ask_for_session()

    assert shape(installed.json()) == shape(sample("bunq/installation_response"))
    assert shape(registered.json()) == shape(sample("bunq/device_server_response"))
    assert shape(opened.json()) == shape(sample("bunq/session_server_response"))
    user = opened.json()["Response"][2]["UserCompany"]
    assert (user["id"], user["session_timeout"]) == (USER_ID, 604_800)


async def test_a_good_answer_is_signed_over_its_body_with_the_installations_key(till: Till) -> None:
    installed = await till.install()
    server_pem = installed.json()["Response"][2]["ServerPublicKey"]["server_public_key"]
    await till.log_in()

    answer = await till.get(INQUIRIES)

    assert_signed_by(server_pem, answer)
    with pytest.raises(InvalidSignature):
        assert_signed_by(pem(client_key()), answer)


async def test_opening_an_account_tells_the_servers_key() -> None:
    async with open_till() as till:
        answer = await till.http.post("/sandbox/accounts", json=SETTINGS)
        installed = await till.install()

    told = installed.json()["Response"][2]["ServerPublicKey"]["server_public_key"]
    assert answer.json() == {"account": "bunq-main", "server_public_key": told}


@pytest.mark.parametrize("key", ["", "no key", "weak"])
async def test_an_installation_needs_an_rsa_key_of_2048_bits(till: Till, key: str) -> None:
    if key == "weak":
        key = pem(rsa.generate_private_key(public_exponent=65537, key_size=1024))

    answer = await till.call("POST", "/v1/installation", {"client_public_key": key})

    assert answer.status_code == 400


async def test_each_step_needs_the_token_of_the_step_before(till: Till) -> None:
    answers = [
        await till.register_device(),
        await till.ask_for_session(),
        await till.get(INQUIRIES),
    ]
    await till.install()
    answers.append(await till.ask_for_session())  # without a device
    answers.append(await till.get(INQUIRIES))  # with the installation's token

    assert [is_the_error(answer, "401_unauthorised") for answer in answers] == [True] * 5


async def test_an_unknown_api_key_is_refused(till: Till) -> None:
    await till.install()

    assert (await till.register_device("sandbox_of_somebody_else")).status_code == 400


async def test_a_session_must_be_signed(till: Till) -> None:
    await till.install()
    await till.register_device()

    answer = await till.call("POST", "/v1/session-server", {"secret": BUNQ_KEY})

    assert is_the_error(answer, "466_signature_required")


@cache
def broken_signatures() -> dict[str, str]:
    body = json.dumps({"secret": BUNQ_KEY}).encode()
    good = signature(body)
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pss = padding.PSS(padding.MGF1(SHA256()), padding.PSS.MAX_LENGTH)
    return {
        "empty": "",
        "of another body": signature(body + b"\n"),
        "of another key": signature(body, stranger),
        "other padding": base64.b64encode(client_key().sign(body, pss, SHA256())).decode(),
        "garbage inside": good[:40] + "!*" + good[40:],
        "cut": good[:-4],
    }


@pytest.mark.parametrize("name", broken_signatures())
async def test_a_wrong_signature_is_no_signature(till: Till, name: str) -> None:
    await till.install()
    await till.register_device()

    answer = await till.ask_for_session(x_bunq_client_signature=broken_signatures()[name])

    assert is_the_error(answer, "401_unauthorised")


async def test_a_signature_that_nobody_asked_for_is_checked_too(till: Till) -> None:
    await till.log_in()

    good = await till.get(INQUIRIES, x_bunq_client_signature=signature(b""))
    bad = await till.get(INQUIRIES, x_bunq_client_signature=signature(b"x"))

    assert (good.status_code, bad.status_code) == (200, 401)


@pytest.mark.parametrize(("used_after", "status"), [([], 401), ([29], 401), ([31], 200)])
async def test_a_call_in_the_last_half_hour_prolongs_a_session(
    used_after: list[int], status: int
) -> None:
    clock = Clock()
    async with open_till(clock=clock, session_timeout=3600, call_limit_factor=100) as till:
        await till.log_in()
        opened_at = clock.moment
        for minutes in used_after:
            clock.moment = opened_at + timedelta(minutes=minutes)
            assert (await till.get(INQUIRIES)).status_code == 200
        clock.moment = opened_at + timedelta(minutes=60)

        assert (await till.get(INQUIRIES)).status_code == status


async def test_a_prolonged_session_ends_too() -> None:
    clock = Clock()
    async with open_till(clock=clock, session_timeout=3600, call_limit_factor=100) as till:
        await till.log_in()
        clock.moment += timedelta(minutes=31)
        await till.get(INQUIRIES)
        clock.moment += timedelta(minutes=60)

        assert is_the_error(await till.get(INQUIRIES), "401_unauthorised")


async def test_who_logs_out_is_out(till: Till) -> None:
    session_id = (await till.log_in()).json()["Response"][0]["Id"]["id"]

    other = await till.call("DELETE", f"/v1/session/{session_id + 1}")
    own = await till.call("DELETE", f"/v1/session/{session_id}")
    after = await till.get(INQUIRIES)

    assert [answer.status_code for answer in (other, own, after)] == [404, 200, 401]


async def test_another_api_key_ends_the_sessions_of_the_old_one(till: Till) -> None:
    await till.log_in()
    await till.http.post("/sandbox/accounts", json=SETTINGS | {"api_key": "another"})

    assert is_the_error(await till.get(INQUIRIES), "401_unauthorised")


@pytest.mark.parametrize("wrong", [{"cache_control": "max-age=0"}, {"user_agent": ""}])
async def test_two_headers_are_required(till: Till, wrong: dict[str, str]) -> None:
    await till.log_in()

    assert (await till.get(INQUIRIES, **wrong)).status_code == 400


async def test_answers_have_an_id_and_repeat_the_callers(till: Till) -> None:
    await till.log_in()

    good = await till.get(INQUIRIES, x_bunq_client_request_id="first")
    bad = await till.get(f"{INQUIRIES}/1", x_bunq_client_request_id="second")

    ids = [answer.headers["x-bunq-client-response-id"] for answer in (good, bad)]
    echoes = [answer.headers["x-bunq-client-request-id"] for answer in (good, bad)]
    assert echoes == ["first", "second"]
    assert ids[0] != ids[1]


async def test_a_request_id_is_good_once(till: Till) -> None:
    await till.log_in()
    await till.get(INQUIRIES, x_bunq_client_request_id="one")

    answer = await till.get(f"{ACCOUNT}/payment", x_bunq_client_request_id="one")

    assert is_the_error(answer, "400_duplicate_request_id")


async def test_only_the_own_path_is_open(till: Till) -> None:
    await till.log_in()
    somebody, elsewhere = f"/v1/user/{USER_ID + 1}", f"{USER}/monetary-account/1"

    foreign = await till.get(f"{somebody}/notification-filter-url")
    unknown = await till.get(f"{elsewhere}/request-inquiry")
    nowhere = await till.get(f"{ACCOUNT}/request-inquiry/x")

    assert is_the_error(foreign, "403_forbidden")
    assert is_the_error(unknown, "404_not_found")
    assert is_the_error(nowhere, "404_not_found")


async def test_a_method_that_a_path_lacks_is_told_in_bunqs_envelope(till: Till) -> None:
    answers = [await till.call("DELETE", INQUIRIES), await till.get("/v1/installation")]

    assert [is_the_error(answer, "405_method_not_allowed") for answer in answers] == [True] * 2


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"secret": 1}', b'{"secret": "s", "x": 1}'])
async def test_a_body_of_another_shape_is_refused(till: Till, body: bytes) -> None:
    await till.install()
    headers: Any = {"cache-control": "no-cache", "x-bunq-client-authentication": till.token}

    answer = await till.http.post("/v1/session-server", content=body, headers=headers)

    assert answer.status_code == 400
    assert answer.json()["Error"][0].keys() == {
        "error_description",
        "error_description_translated",
    }
