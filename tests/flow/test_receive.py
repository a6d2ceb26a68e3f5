"""Who is let in, and what happens with a call before and after it is stored."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.domain.event import Call, Event, EventVerdict
from service.domain.request import Answer, Facts, Kind
from service.errors import BadSignature, Malformed, Unavailable, UnknownAccount
from service.fetch import ConnectedAccount
from service.flow.receive import (
    admit,
    comes_from,
    receive,
)
from service.providers import Exchange
from service.settings import Rate, parse
from service.telemetry.metrics import EVENTS

ACCEPTED = Event(Kind.ORDER, "a")
SET_ASIDE = Event(None, None, verdict=EventVerdict.SET_ASIDE, reason="unknown_event")


class Asked:
    """A provider that can only be asked."""

    kinds = frozenset({Kind.ORDER})
    body_bytes_max = 1024 * 1024

    def knows(self, kind: Kind, provider_id: str) -> bool:
        return True

    def read(self, kind: Kind, provider_id: str, known: Facts | None) -> Exchange[Answer]:
        raise NotImplementedError


class Calling(Asked):
    """A provider whose calls hold what the test says, or fail as it says."""

    def __init__(self, *events: Event, fails_with: Exception | None = None) -> None:
        self._events = events
        self._fails_with = fails_with

    def verify(self, call: Call) -> Sequence[Event]:
        if self._fails_with is not None:
            raise self._fails_with
        return self._events


def account(provider: Asked | None = None, **keys: object) -> ConnectedAccount:
    table: dict[str, Any] = {"account": [{"name": "here", "provider": "invented", **keys}]}
    section = parse(table, source="test", environ={}, base=Path()).accounts[0]
    return ConnectedAccount("here", section, provider or Calling(ACCEPTED), Rate(5, 1.0))


class Receiver:
    """Receives for one account and notes, in order, what it was led to do."""

    def __init__(self, provider: Asked, *, store_fails_with: Exception | None = None) -> None:
        self.done: list[object] = []
        self._account = account(provider)
        self._store_fails_with = store_fails_with

    async def store(self, account: str, call: Call, events: Sequence[Event]) -> None:
        if self._store_fails_with is not None:
            raise self._store_fails_with
        self.done.append([(event.provider_id, event.reason) for event in events])

    async def receive(self) -> None:
        await receive(
            Call({}, b"{}", datetime(2026, 11, 20, tzinfo=UTC)),
            self._account,
            store=self.store,
            wake=lambda: self.done.append("woken"),
        )


async def test_a_worker_is_woken_after_the_events_are_stored() -> None:
    receiver = Receiver(Calling(SET_ASIDE, ACCEPTED))

    await receiver.receive()

    assert receiver.done == [[(None, "unknown_event"), ("a", None)], "woken"]


async def test_nobody_is_woken_for_what_needs_no_work() -> None:
    receiver = Receiver(Calling(SET_ASIDE))

    await receiver.receive()

    assert receiver.done == [[(None, "unknown_event")]]


async def test_a_call_without_events_leaves_evidence() -> None:
    receiver = Receiver(Calling())

    await receiver.receive()

    assert receiver.done == [[(None, "no_events")]]


async def test_nobody_is_woken_for_what_could_not_be_stored() -> None:
    receiver = Receiver(Calling(ACCEPTED), store_fails_with=Unavailable("away"))

    with pytest.raises(Unavailable):
        await receiver.receive()

    assert receiver.done == []


async def test_a_call_that_is_not_authentic_is_not_stored() -> None:
    receiver = Receiver(Calling(fails_with=BadSignature()))

    with pytest.raises(BadSignature):
        await receiver.receive()

    assert receiver.done == []


@pytest.mark.parametrize(
    "error",
    [
        KeyError("order_id"),
        IndexError(),
        TypeError(),
        ValueError(),
        AttributeError(),
        OverflowError(),
        RecursionError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_body_of_another_shape_is_malformed_and_not_repeated(error: Exception) -> None:
    receiver = Receiver(Calling(fails_with=error))

    with pytest.raises(Malformed) as refusal:
        await receiver.receive()

    assert "order_id" not in refusal.value.detail
    assert receiver.done == []


async def test_events_are_counted_by_verdict() -> None:
    counter = EVENTS.labels("here", "set_aside")
    before = counter._value.get()

    await Receiver(Calling(SET_ASIDE, SET_ASIDE, ACCEPTED)).receive()

    assert counter._value.get() == before + 2


def may_come_in(
    found: ConnectedAccount,
    *,
    name: str = "here",
    token: str | None = None,
    source: str | None = "185.40.108.7",
) -> bool:
    try:
        return admit(name, token=token, source=source, accounts={"here": found}) is found
    except UnknownAccount:
        return False


def test_an_account_without_a_token_is_open_on_the_path_without_one_alone() -> None:
    assert may_come_in(account())
    assert not may_come_in(account(), token="")
    assert not may_come_in(account(), token="guessed")
    assert not may_come_in(account(), name="elsewhere")


@pytest.mark.parametrize("token", [None, "", "secre", "secret ", "SECRET", "s\u00e9cret", "\ud800"])
def test_an_account_with_a_token_is_closed_to_any_other(token: str | None) -> None:
    guarded = account(webhook_token="secret")

    assert may_come_in(guarded, token="secret")
    assert not may_come_in(guarded, token=token)


def test_sources_outside_those_allowed_meet_an_unknown_account() -> None:
    fenced = account(webhook_allow_from=["185.40.108.0/22"])

    assert may_come_in(fenced, source="185.40.111.255")
    assert not may_come_in(fenced, source="185.40.112.0")
    assert not may_come_in(fenced, source=None)


def test_a_provider_that_calls_nobody_has_no_way_in() -> None:
    assert not may_come_in(account(Asked()))


@pytest.mark.parametrize(
    ("source", "inside"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::1", True),
        ("11.0.0.1", False),
        ("2001:db9::1", False),
        ("10.1.2.3:443", False),
        ("010.1.2.3", False),
        ("", False),
        (None, False),
    ],
)
def test_an_address_lies_inside_its_networks_only(source: str | None, inside: bool) -> None:
    assert comes_from(source, ("10.0.0.0/8", "2001:db8::/32")) is inside
    assert comes_from(source, ())
