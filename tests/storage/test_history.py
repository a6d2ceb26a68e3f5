"""History at the level of the table: what the database itself refuses."""

import psycopg
import pytest
from psycopg.types.json import Jsonb

from service.storage.database import Pool
from tests.storage.rows import AT, insert, insert_event, insert_notification, insert_transition


async def run(pool: Pool, statement: str) -> None:
    async with pool.connection() as connection:
        await connection.execute(statement.encode())


async def test_a_sequence_is_given_once_per_subject(emptied: Pool) -> None:
    await insert_transition(emptied, "prq_1", 1)
    await insert_transition(emptied, "prq_2", 1)

    with pytest.raises(psycopg.errors.UniqueViolation):
        await insert_transition(emptied, "prq_1", 1, id="trn_other")


async def test_a_message_without_its_transition_is_refused(emptied: Pool) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        await insert_notification(emptied, "prq_1", 1)


@pytest.mark.parametrize(
    "statement",
    [
        "update transitions set after = '{}'",
        "update transitions set hash = '\\x00'",
        "delete from transitions",
        "truncate transitions cascade",
        "update notifications set body = 'other'",
        "update notifications set sequence = 2",
        "delete from notifications",
        "truncate notifications cascade",
        "update decisions set who = 'nobody'",
        "delete from decisions",
        "truncate decisions",
    ],
)
async def test_what_was_recorded_and_said_can_never_be_changed(
    emptied: Pool, statement: str
) -> None:
    await insert_transition(emptied, "prq_1", 1)
    await insert_notification(emptied, "prq_1", 1)
    await insert(
        emptied, "decisions", id="dec_1", subject="request", subject_id="prq_1", what="link",
        detail=Jsonb({}), who="api:ops", at=AT,
    )  # fmt: skip

    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        await run(emptied, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "update events set body = ''",
        "delete from events",
        "update observations set answer = null",
        "delete from observations",
    ],
)
async def test_what_was_received_and_read_is_dropped_by_the_day_or_not_at_all(
    emptied: Pool, statement: str
) -> None:
    await insert_event(emptied, "EV1", "a")
    await insert(
        emptied, "observations", day=AT.date(), id="obs_1", request_id="prq_1", read_at=AT,
        lease_no=1, observed_by="poll", verdict="transition", answer=b"{}",
        answer_sha256=b"\x01" * 32,
    )  # fmt: skip

    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        await run(emptied, statement)


async def test_a_place_in_the_feed_is_given_once(emptied: Pool) -> None:
    await insert_transition(emptied, "prq_1", 1)
    await insert_notification(emptied, "prq_1", 1)
    await run(emptied, "update notifications set position = 7")

    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        await run(emptied, "update notifications set position = 8")
