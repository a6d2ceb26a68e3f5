"""The steps of the protocol, one at a time, over the real flow, the real SQL and a real Redis."""

import asyncio
import json
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from service.domain.event import Call as WebhookCall
from service.domain.event import Event
from service.errors import Unavailable
from service.flow.attempt import DeliverParts
from service.flow.deliver import deliver_due
from service.flow.intervene import sync_now
from service.flow.look import SyncParts
from service.flow.receive import receive
from service.flow.sweep import sweep
from service.flow.sync import sync_due, sync_these
from service.storage.unit_of_work import unit_of_work
from tests.flow.world import ACCOUNT
from tests.model.actors import Actor, Call, passed
from tests.model.far_ends import FarEnds, ledgers_of
from tests.model.ledger import Ledger
from tests.model.stage import Stage
from tests.model.tables import Picture, until

# Long enough for the whole life of a model, short enough for one window of the list.
LOOKBACK = timedelta(hours=12)
ALWAYS = timedelta(microseconds=1)

# Longer than any lease: 20 s for a read, 25 s for a delivery, 30 s for a page.
LEASES_SECONDS = 31.0

Work = Callable[[], Coroutine[Any, Any, object]]


@dataclass(slots=True)
class Reading:
    """A read under way: the row as it was claimed, and what held when its answer was taken.

    wanted is the newest generation then, number the provider's state; -1 before that.
    """

    claim: dict[str, Any]
    wanted: int = -1
    number: int = -1


@dataclass(slots=True)
class Model:
    """One order with its requests, and the processes that look after it.

    wrongs are promises that a step itself saw broken. picture is what the tables hold now.
    """

    stage: Stage
    far: FarEnds
    clock: datetime
    actors: dict[str, Actor] = field(default_factory=dict)
    readings: dict[tuple[Actor, str], Reading] = field(default_factory=dict)
    picture: Picture = field(default_factory=dict)
    parts: dict[str, SyncParts] = field(default_factory=dict)
    senders: dict[str, DeliverParts] = field(default_factory=dict)
    wrongs: list[str] = field(default_factory=list)
    first_heard: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ledgers(self) -> list[Ledger]:
        return self.far.ledgers

    @property
    def order(self) -> Ledger:
        return self.far.ledgers[0]

    async def remember(self) -> None:
        """Make this the state that reset comes back to."""
        await self.stage.tables.remember()
        self.first_heard = list(self.far.inbox)

    async def reset(self) -> None:
        """Come back to what was remembered; whoever is at work is killed.

        What spreads work at random spreads it alike in every run.
        """
        random.seed(0)
        for actor in self.actors.values():
            await actor.kill()
        self.clock = await self.stage.tables.restore()
        self.stage.doorbell.reset()
        self.actors.clear()
        self.readings.clear()
        self.wrongs.clear()
        self.far.ledgers = ledgers_of(with_ing=len(self.ledgers) > 1)
        self.far.inbox = list(self.first_heard)
        await self.look()
        for ledger in self.ledgers:
            ledger.covers = self.due(ledger)["done"]

    async def look(self) -> None:
        """Take a picture of the tables, and note what was newest when something was asked for."""
        self.picture = await self.stage.tables.picture()
        for row in self.picture["due"]:
            ledger = self.far.named(row["key"])
            for generation in range(row["wanted"], 0, -1):
                if generation in ledger.raised:
                    break
                ledger.raised[generation] = ledger.now

    def due(self, ledger: Ledger) -> dict[str, Any]:
        return next(row for row in self.picture["due"] if row["key"] == ledger.key.provider_id)

    def request(self, ledger: Ledger) -> dict[str, Any]:
        return next(r for r in self.picture["requests"] if r["key"] == ledger.key.provider_id)

    def is_idle(self, slot: str) -> bool:
        return slot not in self.actors

    def calls(self, *slots: str) -> list[Call]:
        at_work = [self.actors[slot] for slot in slots if slot in self.actors]
        return [call for one in at_work for call in sorted(one.calls, key=lambda c: c.about)]

    # The receiver.

    async def webhook(self, *, dies_at: str | None = None, is_doubled: bool = False) -> bool:
        """A provider calls about the order; return whether it was answered 204."""
        answered: list[int] = []
        actor = Actor("receiver", dies_at=dies_at)
        for _ in range(2 if is_doubled else 1):
            actor.begin(lambda: self._receive(actor, answered))
            await actor.settle()
        if actor.is_stopped:
            await actor.kill()
        if dies_at == "after insert":
            await self.stage.tables.disarm()
            await until(lambda: self.stage.writer.is_connected)
        stored = self.due(self.order)["wanted"] + len(answered)
        await self.look()
        if self.due(self.order)["wanted"] < stored:
            self.wrongs.append("a call that was answered 204 is not stored")
        return bool(answered)

    async def _receive(self, actor: Actor, answered: list[int]) -> None:
        """Receive one call; the ring comes after the answer, as the waker's does."""

        async def store(account: str, call: WebhookCall, events: Sequence[Event]) -> None:
            if actor.dies_at == "after insert":
                await self.stage.tables.arm()
            try:
                await self.stage.writer.store(account, call, events)
            except Unavailable:
                await actor.at("after insert")
                raise
            await actor.at("after commit")

        hint = {"event": "status_changed", "order_id": self.order.key.provider_id}
        rings: list[str] = []
        await receive(
            WebhookCall({}, json.dumps(hint).encode(), received_at=self.clock),
            self.parts["beat"].accounts[ACCOUNT],
            store=store,
            wake=lambda: rings.append("sync"),
        )
        answered.append(204)
        await actor.at("after status line")
        if rings:
            self.stage.doorbell.ring()

    # Who works: workers, a person who reads at once, the poller, the deliverers, beat.

    async def work(self, slot: str, *, dies_at: str | None = None, free: bool = False) -> None:
        """A worker hears the bell, if it rings, and claims what is due."""
        if self.stage.doorbell.hear():
            bell, parts = asyncio.Event(), self.parts[slot]
            actor = Actor("worker", is_free=free, dies_at=dies_at)
            await self._begin(slot, actor, lambda: sync_due(parts, slots=4, bell=bell))

    async def read_now(self, ledger: Ledger) -> None:
        """A person has one request read at once."""
        parts = self.parts["person"]
        await self._begin("person", Actor("worker"), lambda: sync_these([ledger.key], parts))

    async def ask(self, ledger: Ledger) -> None:
        """A person asks for a read, and goes away without waiting for it."""
        await sync_now(
            self.stage.pools["beat"],
            request_id=self.request(ledger)["id"],
            wake=self.stage.doorbell.ring,
            wait_seconds=0,
            who="command:somebody",
        )
        await self.look()

    async def poll(self, *, free: bool = False) -> None:
        """Look through the provider's list."""
        parts = self.parts["poller"]
        actor = Actor("poller", is_free=free)
        await self._begin("poller", actor, lambda: sweep(parts, every=ALWAYS, lookback=LOOKBACK))

    async def deliver(self, slot: str, *, dies_at: str | None = None, free: bool = False) -> None:
        """Claim what the ERP has to be told."""
        bell, parts = asyncio.Event(), self.senders[slot]
        actor = Actor("deliverer", is_free=free, dies_at=dies_at)
        await self._begin(slot, actor, lambda: deliver_due(parts, slots=4, bell=bell))

    async def beat(self, *, dies_at: str | None = None) -> None:
        """Ring for what is due, as beat does."""
        async with unit_of_work(self.stage.pools["beat"]) as work:
            is_due = await work.due.is_anything_due()
        if is_due:
            self.stage.doorbell.ring(dies_at=dies_at)

    async def _begin(self, slot: str, actor: Actor, work: Work) -> None:
        self.actors[slot] = actor
        actor.begin(work)
        await self._settle(actor)

    async def _settle(self, actor: Actor) -> None:
        await actor.settle()
        if actor.is_stopped:
            await actor.kill()
        if actor.is_done:
            self.actors = {slot: one for slot, one in self.actors.items() if one is not actor}
        await self.look()
        for call in actor.calls:
            if not call.is_taken and (begun := self.far.begun_by(call.path)) is not None:
                key = (actor, begun.key.provider_id)
                if key not in self.readings or self.readings[key].wanted >= 0:
                    self.readings[key] = Reading(self.due(begun))

    # What happens on the wires, and to whoever waits there.

    def reading(self, call: Call) -> tuple[Ledger, Reading] | None:
        """Return what a call reads, None where it is no part of a read."""
        ledger = self.far.concerned_by(call.path)
        found = self.readings.get((call.actor, ledger.key.provider_id)) if ledger else None
        return (ledger, found) if ledger is not None and found is not None else None

    async def take(self, call: Call, *, fault: str | None = None) -> None:
        """A call arrives over there and is answered; the answer stays on the way."""
        call.fault = fault
        begun, read = self.far.begun_by(call.path), self.reading(call)
        if begun is not None and read is not None:
            read[1].wanted, read[1].number = self.due(begun)["wanted"], begun.now
        call.wire.take(call)
        await self.look()

    async def bring(self, call: Call, *, dies_at: str | None = None) -> None:
        """An answer comes home, however old it is, and whoever waits for it goes on."""
        call.actor.dies_at = dies_at
        read = self.reading(call)
        if read is None:
            return await self._bring(call)
        ledger, reading = read
        ledger.covers = max(ledger.covers, reading.wanted)
        is_overtaken = self.due(ledger)["lease_no"] != reading.claim["lease_no"]
        passed["worker: overtaken"] += is_overtaken
        written = self._written(ledger)
        await self._bring(call)
        if is_overtaken and self._written(ledger) != written:
            self.wrongs.append(f"{ledger} was changed by a reader whose lease was taken over")
        return None

    async def _bring(self, call: Call) -> None:
        call.home.set_result(None)
        call.actor.calls.remove(call)
        await self._settle(call.actor)

    def _written(self, ledger: Ledger) -> object:
        request = self.request(ledger)
        steps = [t for t in self.picture["transitions"] if t["subject"] == request["id"]]
        return (self.due(ledger)["done"], request, steps)

    async def kill(self, slot: str) -> None:
        await self.actors.pop(slot).kill()
        await self.look()

    async def end_leases(self) -> None:
        """Put the clock forward until every lease has run out."""
        self.clock = await self.stage.tables.advance(LEASES_SECONDS)
        await self.look()

    async def let_time_pass(self) -> None:
        """Bring on the time of every next look and every next try."""
        await self.stage.tables.end_waits()
        await self.stage.tables.turn_polls()
        self.stage.doorbell.end_token()
        await self.look()
