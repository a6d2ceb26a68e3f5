"""The way of rows that were there before into the partitions of bodies and facts."""

from datetime import UTC, date, datetime

import psycopg
import pytest

from service.storage.database import Pool, migrations, upgrade
from service.storage.deliveries import Deliveries
from service.storage.feed import changes, place
from service.storage.lanes import Lanes
from service.storage.unit_of_work import connected

NUMBER = 16

# Two changes of a request, a year apart; one delivered, one given up, one that waits; two events of
# one call, and the same bytes on another day.
ROWS = """
insert into requests (id, account, kind, provider_id, status, sequence, chain)
values ('prq_1', 'gc', 'billing_request', 'BRQ1', 'paid', 2, '\\x02');
insert into endpoints (name, kind) values ('erp', 'webhook'), ('log', 'webhook');
insert into transitions (id, subject, subject_id, sequence, type, after, observed_by, recorded_at,
                         chained_from, hash)
values ('trn_1', 'request', 'prq_1', 1, 't', '{"status": "open"}', 'poll', '2020-03-31T23:59:59Z',
        '', '\\x01'),
       ('trn_2', 'request', 'prq_1', 2, 't', '{"status": "paid"}', 'poll', '2021-04-01T00:00:00Z',
        '\\x01', '\\x02');
insert into notifications (id, type, subject, subject_id, sequence, body, created_at, position)
values ('ntf_1', 't', 'request', 'prq_1', 1, 'first', '2020-03-31T23:59:59Z', 1),
       ('ntf_2', 't', 'request', 'prq_1', 2, 'second', '2021-04-01T00:00:00Z', null);
insert into deliveries (id, notification_id, endpoint, type, subject_id, sequence, state, tries,
                        closed_at)
values ('dlv_1', 'ntf_1', 'erp', 't', 'prq_1', 1, 'delivered', 1, '2020-04-01T00:00:01Z'),
       ('dlv_2', 'ntf_1', 'log', 't', 'prq_1', 1, 'dead', 0, '2020-04-01T00:00:01Z'),
       ('dlv_3', 'ntf_2', 'erp', 't', 'prq_1', 2, 'waiting', 0, null);
insert into attempts (delivery_id, number, at, outcome, duration_ms)
values ('dlv_1', 1, '2020-04-01T00:00:01Z', 'ok', 7);
select setval('feed_positions', 1);
insert into untold_changes (account, request_id, sequence, called_for, recorded_at)
values ('gc', 'prq_1', 2, true, '2021-04-01T00:00:00Z');
insert into events (day, id, account, event_id, received_at, verdict, body_sha256, body, claims)
values ('2021-03-30', 'evt_1', 'gc', 'EV1', '2021-04-01T00:00:00Z', 'accepted', sha256('[]'), '[]',
        3),
       ('2021-03-31', 'evt_2', 'gc', 'EV2', '2021-04-01T00:00:00Z', 'accepted', sha256('[]'), '',
        null),
       ('2021-04-02', 'evt_3', 'gc', 'EV3', '2021-04-02T00:00:00Z', 'parked', sha256('[]'), '[]',
        null);
"""


@pytest.fixture
def upgraded(database_url: str) -> str:
    """A database that had rows before the migration; return its URL."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("drop schema public cascade; create schema public")
        connection.execute(
            "create table migrations (number integer primary key, name text not null,"
            " sha256 text not null, applied_at timestamptz not null default now())"
        )
        for migration in migrations():
            if migration.number < NUMBER:
                connection.execute(migration.sql.encode())
                connection.execute(
                    "insert into migrations (number, name, sha256) values (%s, %s, %s)",
                    [migration.number, migration.name, migration.sha256],
                )
        connection.execute(ROWS.encode())
    assert "0016_retention.sql" in upgrade(database_url)
    return database_url


def test_every_row_goes_to_the_partition_of_its_time_and_no_byte_is_lost(upgraded: str) -> None:
    with psycopg.connect(upgraded) as connection:
        found = connection.execute(
            """
            select tableoid::regclass::text, id from transitions
             union all select tableoid::regclass::text, id from notifications
             union all select tableoid::regclass::text, id from deliveries
             union all select tableoid::regclass::text, delivery_id from attempts
             union all select tableoid::regclass::text, request_id from untold_changes
             union all select tableoid::regclass::text, id from events
             order by 2, 1
            """
        ).fetchall()
        bodies = connection.execute(
            "select id, event_bodies.day, body, claims from events join event_bodies"
            " on (event_bodies.day, sha256) = (received_at::date, body_sha256) order by id"
        ).fetchall()

    assert found == [
        ("attempts_2020q1", "dlv_1"),
        ("deliveries_closed_2020q1", "dlv_1"),
        ("deliveries_closed_2020q1", "dlv_2"),
        ("deliveries_waiting", "dlv_3"),
        ("events_2021q1", "evt_1"),
        ("events_2021q1", "evt_2"),
        ("events_2021q2", "evt_3"),
        ("notifications_2020q1", "ntf_1"),
        ("notifications_2021q2", "ntf_2"),
        ("untold_changes_2021q2", "prq_1"),
        ("transitions_2020q1", "trn_1"),
        ("transitions_2021q2", "trn_2"),
    ]
    assert bodies == [
        ("evt_1", date(2021, 4, 1), b"[]", 3),
        ("evt_2", date(2021, 4, 1), b"[]", None),
        ("evt_3", date(2021, 4, 2), b"[]", None),
    ]
    assert upgrade(upgraded) == []


async def test_what_was_waiting_is_delivered_and_placed(upgraded: str, pool: Pool) -> None:
    async with connected(pool) as connection:
        deliveries = Deliveries(connection)
        (seen,) = await Lanes(connection).with_work()
        (claim,) = await deliveries.claim(seen, seen.lane, 9, lease_seconds=9)

    assert (claim.id, claim.body) == ("dlv_3", b"second")
    assert claim.notified_at == datetime(2021, 4, 1, tzinfo=UTC)
    assert await place(pool) == 1
    assert (await changes(pool, after="f1", limit=9)).bodies == [b"second"]


def test_history_goes_on_and_is_guarded_as_before(upgraded: str) -> None:
    with psycopg.connect(upgraded, autocommit=True) as connection:
        for statement in (
            "delete from transitions_2020q1",
            "truncate attempts_2020q1",
            "update events_2021q1 set verdict = 'parked'",
            "update transitions set hash = ''",
        ):
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
                connection.execute(statement.encode())
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute(
                "insert into events (day, id, account, event_id, received_at, verdict, body_sha256)"
                " values ('2021-03-30', 'evt_4', 'gc', 'EV1', now(), 'accepted', '')"
            )
        (serial,) = connection.execute("select nextval('notification_serials')").fetchone() or (0,)
    assert serial == 3
