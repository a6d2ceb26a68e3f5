"""The explorer: every interleaving of so many steps, each state that they lead to checked once.

Breadth first, so that a state is met by a shortest way. Two states are one where nothing that may
still happen can tell them apart: identifiers, times and the lengths of logs are left out, and
counters are taken relative to each other.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tests.model.ledger import Ledger
from tests.model.promises import check, check_at_rest
from tests.model.rest import Broken
from tests.model.stage import WORKERS
from tests.model.world import Model

# What happens at the provider, in turn; each of it is read by one call.
STORY = ("process", "pay")


@dataclass(frozen=True, slots=True)
class Step:
    """One atomic step: whether it may be taken now, and how."""

    name: str
    may: Callable[[Model], bool]
    take: Callable[[Model], Awaitable[object]]
    is_crash: bool = False


@dataclass(slots=True)
class Explored:
    """What an exploration came to; interleavings counts the ways of full length."""

    depth: int
    states: int = 0
    transitions: int = 0
    crashes: int = 0
    interleavings: int = 0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"model depth={self.depth} states={self.states} interleavings={self.interleavings}"
            f" crashes={self.crashes} violations={len(self.violations)}"
        )


@dataclass(frozen=True, slots=True)
class _State:
    """A state by the way to it, and the steps that may follow."""

    way: tuple[Step, ...]
    key: object
    follow: tuple[Step, ...]


async def explore(
    model: Model,
    *,
    depth: int,
    start: Sequence[str] = (),
    violations_max: int = 1,
    tell: Callable[[str], None] | None = None,
) -> Explored:
    """Take every step from every state that is met within depth steps.

    start names the steps after which that begins. Stops at so many violations. tell hears of
    each depth that is done.
    """
    explored = Explored(depth)
    by_name = {step.name: step for step in STEPS}
    way = tuple(by_name[name] for name in start)
    await model.reset()
    for step in way:
        await step.take(model)
    first = _state(model, way)
    followers: dict[object, list[object]] = {}
    seen, frontier = {first.key}, [first]
    for reached in range(1, depth + 1):
        found: list[_State] = []
        for state in frontier:
            followers[state.key] = []
            for step in state.follow:
                after = await _take(model, state, step, explored)
                if after is not None:
                    followers[state.key].append(after.key)
                if after is not None and after.key not in seen:
                    seen.add(after.key)
                    found.append(after)
                    await _come_to_rest(model, after, explored)
                if len(explored.violations) >= violations_max:
                    return explored
        frontier = found
        explored.states = len(seen)
        if tell is not None:
            tell(f"depth {reached}: {explored.states} states, {explored.transitions} transitions")
    explored.interleavings = _count_ways(first.key, followers, depth)
    return explored


async def _take(model: Model, state: _State, step: Step, explored: Explored) -> _State | None:
    """Go to a state and take one step more; return None where a promise broke."""
    await model.reset()
    try:
        for earlier in state.way:
            await earlier.take(model)
        assert _key(model) == state.key, "the same way leads to the same state"
        explored.transitions += 1
        explored.crashes += step.is_crash
        await step.take(model)
        check(model)
    except Broken as broken:
        explored.violations.append(_tale((*state.way, step), broken))
        return None
    return _state(model, (*state.way, step))


async def _come_to_rest(model: Model, state: _State, explored: Explored) -> None:
    try:
        await check_at_rest(model)
    except Broken as broken:
        explored.violations.append(_tale(state.way, broken))


def _tale(way: Sequence[Step], broken: Broken) -> str:
    return f"{', '.join(step.name for step in way)}: {broken}"


def _count_ways(start: object, followers: dict[object, list[object]], depth: int) -> int:
    """Count the ways of exactly depth steps, however few the states that they lead through."""
    ways = {start: 1}
    for _ in range(depth):
        further: dict[object, int] = {}
        for key, count in ways.items():
            for after in followers.get(key, ()):
                further[after] = further.get(after, 0) + count
        ways = further
    return sum(ways.values())


def _state(model: Model, way: tuple[Step, ...]) -> _State:
    return _State(way, _key(model), tuple(step for step in STEPS if step.may(model)))


def _key(model: Model) -> object:
    """Return what tells this state from others."""
    order = model.order
    due, request = model.due(order), model.request(order)
    kept = ("told", "wanted", "done")
    return (
        order.now,
        order.number_of(request),
        request["sequence"],
        tuple(request["attention"]),
        due["lease_no"] - request["lease_no"],
        due["wanted"] - due["done"],
        max(due["told"] - due["done"], 0),
        order.covers - due["done"],
        tuple(order.raised[n] for n in range(due["done"] + 1, due["wanted"] + 1)),
        tuple((name, value) for name, value in due.items() if name not in (*kept, "lease_no")),
        model.stage.doorbell.messages,
        model.stage.doorbell.has_token,
        len(model.picture["windows"]),
        tuple(sorted(_worker(model, order, slot) for slot in WORKERS)),
    )


def _worker(model: Model, order: Ledger, slot: str) -> tuple[object, ...]:
    """Return what a worker holds in its hands: an answer, how old it is, and its lease."""
    calls = model.calls(slot)
    if not calls:
        return ()
    read = model.reading(calls[0])
    assert read is not None, "workers only read"
    due, (_, reading) = model.due(order), read
    claim = reading.claim
    return (
        calls[0].is_taken,
        reading.number,
        due["lease_no"] == claim["lease_no"],
        due["wanted"] - claim["wanted"],
        due["wanted"] - reading.wanted if calls[0].is_taken else -1,
        claim["observed_by"],
        claim["told"] > claim["done"],
        claim["rereads"],
        claim["crashes"],
    )


def _is_ahead(model: Model) -> bool:
    return model.order.now < len(STORY)


async def _change(model: Model) -> None:
    model.order.move(STORY[model.order.now])


def _rings(model: Model) -> bool:
    return model.stage.doorbell.messages > 0


async def _lose(model: Model) -> None:
    model.stage.doorbell.lose()


async def _double(model: Model) -> None:
    model.stage.doorbell.double()


def _is_silent(model: Model) -> bool:
    """Whether beat would find something to ring for that nobody rings for yet."""
    due = model.due(model.order)
    return due["wait"] == 0 and not due["is_leased"] and not model.stage.doorbell.messages


def _is_leased(model: Model) -> bool:
    return bool(model.due(model.order)["is_leased"])


def _may_go_on(slot: str, model: Model) -> bool:
    """Workers are alike: where both are idle, only the first begins."""
    if not model.is_idle(slot):
        return True
    return _rings(model) and (slot == WORKERS[0] or not model.is_idle(WORKERS[0]))


async def _go_on(slot: str, model: Model) -> None:
    """Claim; or be answered over there; or have the answer come home and be recorded."""
    calls = model.calls(slot)
    if not calls:
        await model.work(slot)
    elif calls[0].is_taken:
        await model.bring(calls[0])
    else:
        await model.take(calls[0])


def _is_busy(slot: str, model: Model) -> bool:
    return not model.is_idle(slot)


def _has_answer(slot: str, model: Model) -> bool:
    return any(call.is_taken for call in model.calls(slot))


async def _kill(slot: str, model: Model) -> None:
    await model.kill(slot)


async def _record_and_die(slot: str, point: str, model: Model) -> None:
    await model.bring(model.calls(slot)[0], dies_at=point)


def _always(_model: Model) -> bool:
    return True


STEPS = (
    *(Step(slot, partial(_may_go_on, slot), partial(_go_on, slot)) for slot in WORKERS),
    *(
        Step(f"{slot} killed", partial(_is_busy, slot), partial(_kill, slot), True)
        for slot in WORKERS
    ),
    *(
        Step(
            f"{slot} dies {point}",
            partial(_has_answer, slot),
            partial(_record_and_die, slot, point),
            True,
        )
        for slot in WORKERS
        for point in ("inside transaction", "after commit")
    ),
    Step("change", _is_ahead, _change),
    Step("webhook", _always, lambda m: m.webhook()),
    Step("webhook dies after insert", _always, lambda m: m.webhook(dies_at="after insert"), True),
    Step("webhook dies after commit", _always, lambda m: m.webhook(dies_at="after commit"), True),
    Step("ring lost", _rings, _lose),
    Step("ring doubled", lambda m: m.stage.doorbell.messages == 1, _double),
    Step("beat", _is_silent, lambda m: m.beat()),
    Step("beat dies after mark", _is_silent, lambda m: m.beat(dies_at="after mark"), True),
    Step("sweep", _always, lambda m: m.poll(free=True)),
    Step("leases run out", _is_leased, lambda m: m.end_leases()),
)
