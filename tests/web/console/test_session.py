"""The cookie of a session, and how many wrong keys somebody may present."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.settings import ApiKey, parse
from service.web.console.failures import FAILURES_MAX, SOURCES_MAX, WINDOW_SECONDS, Failures
from service.web.console.session import LASTS, is_token_of, new_cookie, session_of

NOW = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)


def keys(**secrets: str) -> tuple[ApiKey, ...]:
    table: dict[str, Any] = {
        "settled": {
            "api_keys": [
                {"name": name, "role": "operator", "key": key} for name, key in secrets.items()
            ]
        }
    }
    return parse(table, source="test", environ={}, base=Path()).settled.api_keys


OPS = keys(ops="a-key-that-is-long-and-random")


def test_a_cookie_proves_the_session_that_it_began() -> None:
    session = session_of(new_cookie(OPS[0], now=NOW), OPS, now=NOW)

    assert session is not None
    assert session.key == OPS[0]


def test_a_session_ends_after_its_time() -> None:
    cookie = new_cookie(OPS[0], now=NOW)

    assert session_of(cookie, OPS, now=NOW + LASTS - timedelta(seconds=1)) is not None
    assert session_of(cookie, OPS, now=NOW + LASTS) is None


@dataclass(frozen=True)
class Changed:
    why: str
    keys: tuple[ApiKey, ...]


@pytest.mark.parametrize(
    "changed",
    [
        Changed("the key left", keys(erp="another-key-that-is-long")),
        Changed("the key was changed", keys(ops="a-new-key-that-is-long-and-random")),
        Changed("there are no keys", ()),
    ],
    ids=lambda changed: changed.why,
)
def test_a_session_ends_with_its_key(changed: Changed) -> None:
    assert session_of(new_cookie(OPS[0], now=NOW), changed.keys, now=NOW) is None


def test_a_cookie_with_any_other_byte_proves_nothing() -> None:
    cookie = new_cookie(OPS[0], now=NOW)

    for place in range(len(cookie)):
        other = "A" if cookie[place] != "A" else "B"
        assert session_of(cookie[:place] + other + cookie[place + 1 :], OPS, now=NOW) is None


@pytest.mark.parametrize(
    "cookie", [None, "", ".", "a.b", "W10." + "0" * 64, "e30." + "0" * 64, "é." + "0" * 64]
)
def test_what_is_no_cookie_of_ours_proves_nothing(cookie: str | None) -> None:
    assert session_of(cookie, OPS, now=NOW) is None


def test_the_token_of_a_form_is_that_of_one_session_only() -> None:
    one, other = (session_of(new_cookie(OPS[0], now=NOW), OPS, now=NOW) for _ in range(2))
    assert one is not None
    assert other is not None

    assert is_token_of(one, one.token)
    assert not is_token_of(one, other.token)
    assert not is_token_of(one, "")
    assert not is_token_of(one, "\ud800é")


def test_a_source_waits_after_so_many_wrong_keys_and_no_other_does() -> None:
    failures = Failures()
    for second in range(FAILURES_MAX - 1):
        failures.note("192.0.2.1", now=float(second))
    assert failures.wait_seconds("192.0.2.1", now=10.0) == 0

    failures.note("192.0.2.1", now=10.0)

    assert failures.wait_seconds("192.0.2.1", now=10.0) == WINDOW_SECONDS - 10
    assert failures.wait_seconds("192.0.2.1", now=WINDOW_SECONDS) == 0
    assert failures.wait_seconds("192.0.2.2", now=10.0) == 0


def test_sources_without_end_take_no_memory_without_end() -> None:
    failures = Failures()
    for _ in range(FAILURES_MAX):
        failures.note("first", now=0.0)
    for number in range(SOURCES_MAX):
        failures.note(str(number), now=0.0)

    assert failures.wait_seconds("first", now=0.0) == 0
