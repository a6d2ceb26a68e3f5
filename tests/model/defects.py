"""Defects, each of them one that a hurried edit makes: the model has to find every one."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from service.domain.event import Call, Event
from service.flow import sync
from service.flow.judge import judge
from service.flow.look import Look, SyncParts
from service.storage import due_statements
from service.storage.due import Claimed, DueTable
from service.storage.event_writer import EventWriter
from service.storage.notifications import NotificationRow, Outbox
from service.storage.unit_of_work import unit_of_work


@dataclass(frozen=True, slots=True)
class Defect:
    """A defect, and from where it is found within how many steps."""

    name: str
    plant: Callable[[pytest.MonkeyPatch], None]
    start: tuple[str, ...]
    depth: int
    promise: str


def _check_no_lease(patch: pytest.MonkeyPatch) -> None:
    async def held(_: DueTable, claims: Sequence[Claimed]) -> set[Claimed]:
        return set(claims)

    patch.setattr(DueTable, "held", held)
    _edit_rest(
        patch,
        "back using (account, kind, provider_id, lease_no)",
        "back using (account, kind, provider_id)",
    )


def _close_all_generations(patch: pytest.MonkeyPatch) -> None:
    _edit_rest(
        patch,
        "greatest(done, coalesce(ours.covered, done))",
        "case when ours.covered is null then done else wanted end",
    )


def _edit_rest(patch: pytest.MonkeyPatch, text: str, otherwise: str) -> None:
    assert text in due_statements.REST, "the statement reads otherwise now: plant the defect anew"
    patch.setattr(due_statements, "REST", due_statements.REST.replace(text, otherwise))


def _tell_in_another_transaction(patch: pytest.MonkeyPatch) -> None:
    kept: list[NotificationRow] = []
    add = Outbox.add

    async def keep(_: Outbox, rows: Sequence[NotificationRow]) -> int:
        kept.extend(rows)
        return 0

    async def judge_then_tell(looks: Sequence[Look], parts: SyncParts) -> set[str]:
        kept.clear()
        untold = await judge(looks, parts)
        async with unit_of_work(parts.pool) as work:
            await add(work.outbox, kept)
        return untold

    patch.setattr(Outbox, "add", keep)
    patch.setattr(sync, "judge", judge_then_tell)


def _never_ring_again(patch: pytest.MonkeyPatch) -> None:
    async def nothing(_: DueTable) -> bool:
        return False

    patch.setattr(DueTable, "is_anything_due", nothing)


def _answer_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    store = EventWriter.store
    kept: set[asyncio.Task[None]] = set()

    async def store_later(
        writer: EventWriter, account: str, call: Call, events: Sequence[Event]
    ) -> None:
        task = asyncio.create_task(store(writer, account, call, events))
        kept.add(task)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    patch.setattr(EventWriter, "store", store_later)


ANSWERED = ("change", "webhook", "worker-1", "worker-1")

DEFECTS = (
    Defect(
        "a write does not ask for its lease",
        _check_no_lease,
        (*ANSWERED, "leases run out", "beat", "worker-2"),
        1,
        "lease was taken over",
    ),
    Defect(
        "a read closes whatever is wanted by then",
        _close_all_generations,
        (*ANSWERED, "webhook"),
        1,
        "a read closes only what it covers",
    ),
    Defect(
        "messages are written after the commit",
        _tell_in_another_transaction,
        ANSWERED,
        1,
        "every change has its message",
    ),
    Defect("nobody rings again", _never_ring_again, (), 2, "never comes to rest"),
    Defect(
        "a call is answered before it is stored", _answer_before_the_commit, (), 1, "not stored"
    ),
)
