"""The trace of a webhook reaches the ERP: receiver, row that is due, read, outbox, delivery."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest

from service.domain.event import Call, Event
from service.domain.request import Kind, ObservedBy
from service.domain.trace import traceparent_of
from service.flow.deliver import deliver_due
from service.storage.event_writer import EventWriter
from tests.flow.surroundings import Erp, endpoint, listening, sending
from tests.flow.world import ACCOUNT, World, order, order_id
from tests.telemetry.test_traces import ids, traced

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@pytest.fixture
async def writer(shared_url: str, world: World) -> AsyncIterator[EventWriter]:
    writer = EventWriter(shared_url)
    await writer.start()
    yield writer
    await writer.stop()


async def call(writer: EventWriter, number: int, traceparent: str | None) -> None:
    """A webhook about an order comes in, with a traceparent or without one."""
    headers = httpx.Headers({"traceparent": traceparent} if traceparent else {})
    event = Event(Kind.ORDER, order_id(number))
    await writer.store(ACCOUNT, Call(headers, b"{}", received_at=datetime.now(UTC)), [event])


async def traces(world: World) -> list[str]:
    """Return the traceparent of each message, in the order in which they were written."""
    rows = await world.rows("select traceparent from notifications order by serial")
    return [row["traceparent"] for row in rows]


async def test_a_webhooks_traceparent_goes_out_with_each_message_that_it_led_to(
    world: World, writer: EventWriter
) -> None:
    async with listening() as erp, sending(world.pool, endpoint(erp)) as parts:
        world.provider.shows(order(1))
        await call(writer, 1, TRACE)
        await world.sync()
        await deliver_due(parts, slots=8, bell=asyncio.Event())

        assert types(erp) == {"order.paid", "payment_request.paid"}
        assert [arrival.headers["traceparent"] for arrival in erp.arrivals] == [TRACE] * 2


def types(erp: Erp) -> set[str]:
    return {json.loads(arrival.body)["type"] for arrival in erp.arrivals}


async def test_without_one_the_messages_of_a_read_begin_a_trace_together(
    world: World, writer: EventWriter
) -> None:
    world.provider.shows(order(1), order(2, reference="INV-2"))
    await call(writer, 1, None)
    await call(writer, 2, "00-not-a-trace-01")
    await world.sync()

    made = await traces(world)
    assert len(made) == 4
    assert all(traceparent_of(text) == text for text in made)
    assert len(set(made)) == 2


async def test_the_newest_webhook_names_the_trace_and_a_later_poll_none_of_them(
    world: World, writer: EventWriter
) -> None:
    world.provider.shows(order(1, "order_new"))
    await call(writer, 1, TRACE)
    await call(writer, 1, OTHER_TRACE)
    await world.sync()
    told = await traces(world)
    world.provider.shows(order(1, minute=2))
    await world.trigger(1, observed_by=ObservedBy.POLL)
    await world.sync()

    polled = (await traces(world))[len(told) :]
    assert set(told) == {OTHER_TRACE}
    assert polled
    assert not {TRACE, OTHER_TRACE} & set(polled)


async def test_a_read_that_is_repeated_for_a_webhooks_sake_keeps_its_trace(
    world: World, writer: EventWriter
) -> None:
    world.provider.shows(order(1, "order_new"))
    await call(writer, 1, None)
    await world.sync()
    before = len(await traces(world))
    await call(writer, 1, TRACE)
    await world.sync()
    world.provider.shows(order(1, minute=2))
    await world.let_time_pass()
    await world.sync()

    assert set((await traces(world))[before:]) == {TRACE}


async def test_read_record_and_delivery_are_told_as_steps_of_the_webhooks_trace(
    world: World, writer: EventWriter
) -> None:
    with traced() as kept:
        async with listening() as erp, sending(world.pool, endpoint(erp)) as parts:
            world.provider.shows(order(1))
            await call(writer, 1, TRACE)
            await world.sync()
            await deliver_due(parts, slots=8, bell=asyncio.Event())

    steps = kept.get_finished_spans()
    assert [step.name for step in steps] == ["sync", "record", "deliver", "deliver"]
    assert {ids(step)[0] for step in steps} == {TRACE.split("-")[1]}
    assert {step.parent and f"{step.parent.span_id:016x}" for step in steps} == {
        TRACE.split("-")[2]
    }
