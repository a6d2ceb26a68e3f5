"""bunq: whether an account is set up as it must be."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.errors import NotFoundThere, SettledError, Unauthorised, Unavailable, Unreadable
from service.providers import Finding
from service.providers.bunq import Bunq
from tests.providers.bunq_bodies import EMPTY, SIGNATURE, VECTORS, bunq
from tests.providers.exchange import run
from tests.providers.table_bunq import (
    ACCOUNT_ID,
    ACCOUNT_PATH,
    FILTERS_PATH,
    SERVER_KEY_FILE,
    USER_ID,
)
from tests.providers.world import recording

REQUESTS_PATH = f"{ACCOUNT_PATH}/request-inquiry?count=1"
OWN_FILTERS_PATH = f"{ACCOUNT_PATH}/notification-filter-url"
REGISTERED = "https://hooks.example.test/bunq/6f0d3c1e"
OTHER = "https://pay.example/webhooks/bunq/1b9d6bcd"
FILTERS = json.loads(recording("bunq", "notification_filter_url_response.json"))
MISSING = NotFoundThere("http_404")
FORBIDDEN = Unauthorised("http_403")


def checked(
    webhook_url: str | None = REGISTERED, adapter: Bunq | None = None, **at: object
) -> tuple[dict[str, Finding], list[str]]:
    """Check an account; return the findings by name and the paths that were asked."""
    bodies = {
        REQUESTS_PATH: at.get("requests", EMPTY),
        FILTERS_PATH: at.get("filters", FILTERS),
        OWN_FILTERS_PATH: at.get("own_filters", EMPTY),
    }

    def answer(request: httpx.Request) -> bytes | SettledError:
        body = bodies[request.url.raw_path.decode()]
        return body if isinstance(body, bytes | SettledError) else json.dumps(body).encode()

    found, requests = run((adapter or bunq()).check(webhook_url), answer)
    paths = [request.url.raw_path.decode() for request in requests]
    assert {request.method for request in requests} == {"GET"}
    return {one.check: one for one in found}, paths


def verdicts(found: Mapping[str, Finding]) -> dict[str, bool | None]:
    return {name: one.ok for name, one in found.items()}


def registered(*filters: tuple[str, str]) -> dict[str, Any]:
    items = [{"category": name, "notification_target": target} for name, target in filters]
    return {"Response": [{"NotificationFilterUrl": item} for item in items]}


def test_an_account_that_is_set_up_takes_two_calls_to_check() -> None:
    found, paths = checked()

    assert paths == [REQUESTS_PATH, FILTERS_PATH]
    assert verdicts(found) == {
        "login": True,
        "user": True,
        "monetary_account": True,
        "permission": True,
        "webhook": True,
        "signature": None,
    }


def test_an_address_may_be_registered_at_the_monetary_account_alone() -> None:
    found, paths = checked(OTHER, own_filters=registered(("REQUEST", OTHER)))

    assert paths == [REQUESTS_PATH, FILTERS_PATH, OWN_FILTERS_PATH]
    assert found["webhook"].ok is True


@pytest.mark.parametrize("address", [OTHER, REGISTERED + "/", REGISTERED[:-1]])
def test_an_address_that_is_not_registered_to_the_letter_is_found_missing(address: str) -> None:
    webhook = checked(address)[0]["webhook"]

    assert webhook.ok is False
    assert "addresses that are: 1" in webhook.detail
    assert "replaces what is there" in webhook.remedy


def test_without_our_address_the_api_cannot_tell() -> None:
    webhook = checked(None)[0]["webhook"]

    assert webhook.ok is None
    assert "base_url" in webhook.remedy


def test_a_push_filter_without_an_address_is_not_ours() -> None:
    filters = {"Response": [{"NotificationFilterUrl": {"category": "REQUEST"}}]}

    assert checked(None, filters=filters)[0]["webhook"].ok is None


def test_filters_that_cannot_be_read_leave_open_what_is_registered() -> None:
    found, _ = checked(filters=FORBIDDEN, own_filters=FORBIDDEN)

    assert found["webhook"].ok is None
    assert (found["user"].ok, found["permission"].ok) == (True, True)


def test_no_finding_tells_an_address() -> None:
    for address in (REGISTERED, OTHER, None):
        assert not any(
            secret in one.detail + one.remedy
            for one in checked(address)[0].values()
            for secret in ("6f0d3c1e", "1b9d6bcd")
        )


def test_an_unknown_monetary_account_of_a_known_user_is_named() -> None:
    found, paths = checked(requests=MISSING)

    assert (found["user"].ok, found["monetary_account"].ok) == (True, False)
    assert str(ACCOUNT_ID) in found["monetary_account"].detail
    assert OWN_FILTERS_PATH not in paths


@pytest.mark.parametrize("error", [MISSING, FORBIDDEN])
def test_a_user_of_whom_nothing_can_be_seen_is_named(error: SettledError) -> None:
    found, _ = checked(requests=error, filters=error)

    assert found["user"].ok is False
    assert str(USER_ID) in found["user"].detail
    assert found["user"].remedy


def test_requests_that_may_not_be_read_are_a_matter_of_permission() -> None:
    found, _ = checked(requests=FORBIDDEN)

    assert (found["login"].ok, found["user"].ok, found["permission"].ok) == (True, True, False)
    assert found["monetary_account"].ok is None


@pytest.mark.parametrize("body", [b"<html>", b"{}", Unreadable("http_466")])
def test_an_answer_that_is_not_bunqs_is_found(body: object) -> None:
    found, _ = checked(requests=body, filters=body)

    assert found["permission"].ok is False
    assert "api_base" in found["permission"].remedy
    assert (found["user"].ok, found["webhook"].ok) == (None, None)


@pytest.mark.parametrize("error", [Unauthorised("http_401"), Unavailable("http_491")])
def test_what_the_login_runs_into_is_raised(error: SettledError) -> None:
    with pytest.raises(type(error)):
        checked(requests=error)
    with pytest.raises(type(error)):
        checked(filters=error)


def test_everything_that_is_not_well_has_a_remedy() -> None:
    for error in (MISSING, FORBIDDEN, b"<html>"):
        found, _ = checked(requests=error, filters=error)
        assert all(one.remedy for one in found.values() if one.ok is not True)


# The file of the server's public key


def signature_found(**keys: Any) -> Finding:
    """Check with an answer that the first of the two sample keys signed."""
    vector = next(one for one in VECTORS["vectors"] if one["name"] == "valid_api_response")
    exchange = bunq(**keys).check(None)
    request = next(exchange)
    request.extensions = {"server_public_key": VECTORS["keys"]["server_public_key"]}
    exchange.send(
        httpx.Response(
            200,
            headers={SIGNATURE: vector["header_value"]},
            content=base64.b64decode(vector["body_base64"]),
            request=request,
        )
    )
    exchange.throw(MISSING)
    with pytest.raises(StopIteration) as done:
        exchange.throw(MISSING)
    found: tuple[Finding, ...] = done.value.value
    return found[-1]


def test_a_file_with_another_key_than_answers_are_signed_with_is_found(tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text(VECTORS["keys"]["other_public_key"])

    assert signature_found(server_public_key_file=other).ok is False
    assert signature_found(server_public_key_file=(other, SERVER_KEY_FILE)).ok is True
    assert signature_found(server_public_key_file=()).ok is None
