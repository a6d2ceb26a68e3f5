"""The state machine: anything may happen next, and every promise holds after each step."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.model.actors import Call
from tests.model.promises import check, check_at_rest, check_evidence
from tests.model.stage import DELIVERERS
from tests.model.world import Model

T = TypeVar("T")

RECEIVER_DEATHS = ("after insert", "after commit", "after status line")
READER_DEATHS = ("after claim", "after answer", "inside transaction", "after commit")
POLLER_DEATHS = ("after page", "before cursor save", "after commit")
SENDER_DEATHS = ("after claim", "after answer", "inside transaction", "after mark")
FAULTS = (None, None, "refused", "lost")
FAILS = st.sampled_from((False,) * 9 + (True,))
RINGER_DEATHS = ("after mark", "after publish")


def seldom(*deaths: str) -> st.SearchStrategy[str | None]:
    """Mostly nobody dies; shrinks to nobody."""
    return st.sampled_from((None,) * 2 * (len(deaths) + 2) + deaths)


def one_of(data: st.DataObject, things: Sequence[T]) -> T:
    """Draw one of things that cannot be known before the step."""
    return things[data.draw(st.integers(0, len(things) - 1), label=f"which of {things}")]


class Protocol(RuleBasedStateMachine):
    """Subclasses lend a model and the runner whose loop it lives on."""

    model: ClassVar[Model]
    runner: ClassVar[asyncio.Runner]

    def __init__(self) -> None:
        super().__init__()
        self.run(self.model.reset())

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(step)

    def teardown(self) -> None:
        """Faults stop; then everything comes to rest, and to agree."""
        self.run(check_at_rest(self.model))
        self.run(check_evidence(self.model))

    @rule(data=st.data())
    def something_happens_at_the_provider(self, data: st.DataObject) -> None:
        possible = [(x, move) for x in self.model.ledgers for move in x.possible]
        if possible:
            ledger, move = one_of(data, possible)
            ledger.move(move)

    @rule(dies_at=seldom(*RECEIVER_DEATHS), is_doubled=st.booleans())
    def a_webhook_comes(self, dies_at: str | None, is_doubled: bool) -> None:
        self.run(self.model.webhook(dies_at=dies_at, is_doubled=is_doubled and not dies_at))
        check(self.model)

    @rule(fate=st.sampled_from(("lost", "doubled")), dies_at=seldom(*RINGER_DEATHS))
    def a_ring_is_lost_or_doubled_or_beat_rings(self, fate: str, dies_at: str | None) -> None:
        if not self.model.stage.doorbell.messages:
            self.run(self.model.beat(dies_at=dies_at))
        elif fate == "lost":
            self.model.stage.doorbell.lose()
        else:
            self.model.stage.doorbell.double()

    @rule(data=st.data(), fails=FAILS, dies_at=seldom(*READER_DEATHS))
    def the_first_worker_goes_on(
        self, data: st.DataObject, fails: bool, dies_at: str | None
    ) -> None:
        self._go_on("worker-1", data, fails=fails, dies_at=dies_at)

    @rule(data=st.data(), fails=FAILS, dies_at=seldom(*READER_DEATHS))
    def the_second_worker_goes_on(
        self, data: st.DataObject, fails: bool, dies_at: str | None
    ) -> None:
        self._go_on("worker-2", data, fails=fails, dies_at=dies_at)

    @rule(data=st.data(), fails=FAILS, at_once=st.booleans())
    def a_person_asks_for_a_read_or_has_it_go_on(
        self, data: st.DataObject, fails: bool, at_once: bool
    ) -> None:
        if self.model.calls("person"):
            self._go_on("person", data, fails=fails, dies_at=None)
            return
        ledger = one_of(data, self.model.ledgers)
        self.run(self.model.read_now(ledger) if at_once else self.model.ask(ledger))
        check(self.model)

    @rule(dies_at=seldom(*POLLER_DEATHS))
    def a_sweep_goes_on(self, dies_at: str | None) -> None:
        calls = self.model.calls("poller")
        if not calls:
            self.run(self.model.poll())
        elif calls[0].is_taken:
            self.run(self.model.bring(calls[0], dies_at=dies_at))
        else:
            self.run(self.model.take(calls[0]))
        check(self.model)

    @precondition(lambda self: self._is_anything_to_tell() or self.model.calls(*DELIVERERS))
    @rule(data=st.data(), fault=st.sampled_from(FAULTS), dies_at=seldom(*SENDER_DEATHS))
    def a_delivery_goes_on(
        self, data: st.DataObject, fault: str | None, dies_at: str | None
    ) -> None:
        calls: list[Call | str] = [*self.model.calls(*DELIVERERS)]
        what = one_of(data, calls + [slot for slot in DELIVERERS if self.model.is_idle(slot)])
        if isinstance(what, str):
            self.run(self.model.deliver(what, dies_at=dies_at))
        elif what.is_taken:
            self.run(self.model.bring(what, dies_at=dies_at))
        else:
            self.run(self.model.take(what, fault=fault))
        check(self.model)

    @rule()
    def leases_run_out(self) -> None:
        self.run(self.model.end_leases())

    @rule()
    def the_next_look_at_everything_is_due(self) -> None:
        self.run(self.model.let_time_pass())

    @precondition(lambda self: self.model.actors)
    @rule(data=st.data(), is_meant=st.sampled_from((False, False, True)))
    def a_process_is_killed(self, data: st.DataObject, is_meant: bool) -> None:
        if is_meant:
            self.run(self.model.kill(one_of(data, sorted(self.model.actors))))
            check(self.model)

    def _is_anything_to_tell(self) -> bool:
        return any(
            row["state"] == "waiting" and not row["is_leased"]
            for row in self.model.picture["deliveries"]
        )

    def _go_on(self, slot: str, data: st.DataObject, *, fails: bool, dies_at: str | None) -> None:
        """Hear a ring and claim; or be answered over there; or have an answer come home."""
        if self.model.is_idle(slot):
            if not self.model.stage.doorbell.messages:
                self.run(self.model.beat())
            self.run(self.model.work(slot, dies_at=dies_at))
        else:
            call = one_of(data, self.model.calls(slot))
            if call.is_taken:
                self.run(self.model.bring(call, dies_at=dies_at))
            else:
                self.run(self.model.take(call, fault="refused" if fails else None))
        check(self.model)
