"""One suite for every registered provider: recordings, hostile ids and bodies, no I/O."""

import json
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.event import Call, Event
from service.domain.request import Kind, NotOurs, Observation, Unmapped
from service.domain.status import words_of
from service.errors import Refused, Unreadable
from service.providers import Exchange, HasList, Provider, SendsWebhooks
from service.registry import PROVIDERS
from service.settings import Section, parse_rate
from tests.providers.exchange import Responder, always, at_paths, run
from tests.providers.properties import check_answer, check_events
from tests.providers.table import WORLDS
from tests.providers.world import RECORDED, Lists, Row, Seen, Told, recording

SINCE = datetime(2024, 5, 14, tzinfo=UTC)
UNTIL = datetime(2024, 5, 14, 6, tzinfo=UTC)
ROWS = [(name, file, row) for name, world in WORLDS.items() for file, row in world.rows.items()]
READS = [entry for entry in ROWS if not isinstance(entry[2].expected, Told | Lists)]
TOLD = [entry for entry in ROWS if isinstance(entry[2].expected, Told)]

every_provider = pytest.mark.parametrize("provider", sorted(PROVIDERS))
every_read = pytest.mark.parametrize(("provider", "file", "row"), READS, ids=lambda part: str(part))


def call(provider: str, body: bytes) -> Call:
    headers = {"content-type": "application/json", **WORLDS[provider].headers(body)}
    return Call(headers, body, received_at=SINCE)


def event_in(adapter: Provider, received: Call) -> Event:
    assert isinstance(adapter, SendsWebhooks)
    (event,) = adapter.verify(received)
    return event


def responder(provider: str, file: str, row: Row) -> Responder:
    others = at_paths({path: recording(provider, other) for path, other in row.others.items()})
    return lambda request: others(request) or recording(provider, file)


def asked(provider: str, file: str, row: Row) -> str:
    return row.asked or str(json.loads(recording(provider, file))["id"])


def kind_in(provider: str, row: Row) -> Kind:
    return row.kind or WORLDS[provider].kind


@every_provider
def test_every_provider_can_be_configured_with_nothing_but_its_keys(provider: str) -> None:
    factory = PROVIDERS[provider]

    assert issubclass(factory.keys, Section)
    assert parse_rate(factory.default_limit).count > 0
    assert WORLDS[provider].kind in WORLDS[provider].adapter(provider).kinds


@every_provider
def test_every_recording_has_a_row_and_every_row_a_recording(provider: str) -> None:
    files = {path.name for path in (RECORDED / provider).iterdir()}

    assert files == set(WORLDS[provider].rows)


@pytest.mark.parametrize(("provider", "file", "row"), ROWS, ids=lambda part: str(part)[:50])
def test_a_recording_comes_to_the_answer_in_its_row(provider: str, file: str, row: Row) -> None:
    assert answer_to(provider, file, row) == row.expected


def answer_to(provider: str, file: str, row: Row) -> object:
    """Return what the adapter makes of a recording, in the words of the table."""
    adapter = WORLDS[provider].adapter(provider)
    if isinstance(row.expected, Told):
        event = event_in(adapter, call(provider, recording(provider, file)))
        return Told(event.kind, event.provider_id, event.reason)
    if isinstance(row.expected, Lists):
        assert isinstance(adapter, HasList)
        page, _ = run(adapter.list_page(SINCE, UNTIL, None), responder(provider, file, row))
        return Lists(tuple(item.provider_id for item in page.items))
    exchange = adapter.read(kind_in(provider, row), asked(provider, file, row), None)
    try:
        answer, _ = run(exchange, responder(provider, file, row))
    except Unreadable:
        return Unreadable
    match answer:
        case Observation():
            return seen_in(answer)
        case NotOurs(reason=reason):
            return NotOurs(reason)
        case _:
            return answer


def seen_in(answer: Observation) -> Seen:
    facts = answer.facts
    return Seen(
        facts.status,
        facts.received,
        facts.refunded,
        facts.taken_back,
        facts.final,
        answer.attention,
    )


@every_read
def test_every_call_of_a_read_goes_to_the_configured_address(
    provider: str, file: str, row: Row
) -> None:
    world = WORLDS[provider]
    urls = []

    def answer(request: Any) -> bytes | None:
        urls.append(str(request.url))
        return responder(provider, file, row)(request)

    kind, provider_id = kind_in(provider, row), asked(provider, file, row)
    exchange = world.adapter(provider).read(kind, provider_id, None)
    with suppress(Unreadable):
        run(exchange, answer)

    assert urls
    assert all(url.startswith(world.api_base) for url in urls)


@every_provider
def test_an_id_of_the_wrong_shape_reaches_no_url(provider: str) -> None:
    world = WORLDS[provider]
    adapter = world.adapter(provider)

    assert adapter.knows(world.kind, world.known_id)
    for wrong in world.wrong_ids:
        assert not adapter.knows(world.kind, wrong)
        with pytest.raises(Unreadable):
            next(adapter.read(world.kind, wrong, None))


@every_read
def test_an_answer_about_something_else_is_refused(provider: str, file: str, row: Row) -> None:
    world = WORLDS[provider]
    unasked = {world.known_id, world.other_id} - {asked(provider, file, row)}
    exchange = world.adapter(provider).read(kind_in(provider, row), unasked.pop(), None)

    with pytest.raises(Unreadable):
        run(exchange, always(recording(provider, file)))


@every_provider
def test_every_word_of_the_table_is_understood_and_no_other(provider: str) -> None:
    world = WORLDS[provider]

    def answer(word: str) -> object:
        exchange = world.adapter(provider).read(world.kind, world.known_id, None)
        return run(exchange, always(world.saying(word)))[0]

    for word in words_of(provider, world.kind):
        assert isinstance(answer(word), Observation), word
        assert answer(word + "_") == Unmapped(word + "_")


@pytest.mark.parametrize(("provider", "file", "row"), TOLD, ids=lambda part: str(part)[:50])
def test_verify_depends_on_nothing_but_the_call(provider: str, file: str, row: Row) -> None:
    adapter = WORLDS[provider].adapter(provider)
    received = call(provider, recording(provider, file))

    first = event_in(adapter, received)

    assert event_in(adapter, received) == first
    assert event_in(WORLDS[provider].adapter(provider, live=True), received) == first


ODD_VALUES: list[object] = [
    *(None, True, False, 0, 1, -1, 10**18, 10**30, 0.5, -0.0, "", "x", "\0", "\ud800", "é" * 300),
    *([], {}, [[]], [None], ["x"], {"id": 1}, "EUR", "KWD", "2024-05-14T09:12:03Z", "9999-12-31"),
    *("9999-12-31T23:59:59-23:59", "completed", "see-transactions", "void", ["has-refunds"]),
]


def places_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in items:
        yield (*path, name)
        if isinstance(inner, dict | list):
            yield from places_in(inner, (*path, name))


@st.composite
def mutated(draw: st.DrawFn, body: bytes) -> bytes:
    """Draw a body with a few values replaced or bytes overwritten, or any bytes at all."""
    value = json.loads(body)
    for path in draw(st.lists(st.sampled_from(sorted(places_in(value), key=str)), max_size=3)):
        inner = value
        try:
            for name in path[:-1]:
                inner = inner[name]
            inner[path[-1]] = deepcopy(draw(st.sampled_from(ODD_VALUES)))
        except (LookupError, TypeError):
            continue  # an earlier mutation took this place away
    text = json.dumps(value).encode()
    start = draw(st.integers(0, len(text)))
    noise = draw(st.just(b"") | st.just(b"") | st.binary(max_size=8))
    return text[:start] + noise + text[start + len(noise) :]


@given(st.data())
def test_any_body_of_a_call_is_refused_or_names_something_of_ours(data: st.DataObject) -> None:
    provider, file, _ = data.draw(st.sampled_from(TOLD))
    body = data.draw(st.binary(max_size=80) | mutated(recording(provider, file)))
    adapter = WORLDS[provider].adapter(provider)
    assert isinstance(adapter, SendsWebhooks)

    try:
        events = adapter.verify(call(provider, body))
    except Refused:
        return

    check_events(adapter, events)


@given(st.data())
def test_any_answer_to_a_read_is_unreadable_or_an_answer_in_our_words(data: st.DataObject) -> None:
    provider, file, row = data.draw(st.sampled_from(READS))
    body = data.draw(st.binary(max_size=80) | mutated(recording(provider, file)))
    world = WORLDS[provider]
    exchange: Exchange[object] = world.adapter(provider).read(
        kind_in(provider, row), asked(provider, file, row), None
    )

    try:
        answer, _ = run(exchange, always(body))
    except Unreadable:
        return

    check_answer(answer)
