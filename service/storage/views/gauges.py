"""The gauges: how things stand now, asked of the database when somebody scrapes."""

from collections.abc import Sequence

from psycopg.rows import DictRow

from service.domain.drift import DriftClass
from service.storage.database import Pool
from service.storage.views.accounts import COMPLETE_UP_TO
from service.storage.views.reading import reading
from service.telemetry.metrics import Gauge

_DUE = """
    select name as account, state,
           (select count(*) from due where account = name
               and parked is not null and parked <> 'part_of_another') as parked,
           coalesce(waiting, 0) as waiting, coalesce(oldest_seconds, 0) as oldest_seconds
      from accounts
      left join (select account, count(*) as waiting,
                        extract(epoch from now() - min(due_at))::float8 as oldest_seconds
                   from due
                  where urgency in (0, 1, 2) and due_at <= now() and leased_until <= now()
                    and not_before <= now() and parked is null
                  group by account) as late on late.account = name
     order by name
"""

# The changes counted are those that happened after the last webhook came in.
_COVERAGE = f"""
    select name as account,
           extract(epoch from {COMPLETE_UP_TO})::float8 as complete_up_to,
           (select count(*) from untold_changes where account = name
               and called_for and happened_at > coalesce(heard_at, added_at)) as untold
      from accounts order by name
"""  # noqa: S608 - put together from a constant

_LANES = """
    select name as endpoint, state, backlog,
           coalesce(extract(epoch from now() - oldest_at), 0)::float8 as oldest_seconds
      from endpoints,
           lateral (select count(*) as backlog, min(created_at) as oldest_at
                      from deliveries where endpoint = name and state = 'waiting') as waiting
     order by name
"""

_EVENTS = """
    select account, count(*) as received
      from events where day >= (now() at time zone 'utc')::date
     group by account order by account
"""


# Of the newest finished run of each account, a dry one included.
_DRIFT = """
    select name as account, drift
      from accounts,
           lateral (select drift from reconciles
                     where account = name and finished_at is not null
                     order by finished_at desc limit 1) as newest
     order by name
"""


async def read_gauges(pool: Pool) -> Sequence[Gauge]:
    """Return all gauges. Raises Unavailable."""
    async with reading(pool) as cursor:
        due = await (await cursor.execute(_DUE)).fetchall()
        coverage = await (await cursor.execute(_COVERAGE)).fetchall()
        lanes = await (await cursor.execute(_LANES)).fetchall()
        events = await (await cursor.execute(_EVENTS)).fetchall()
        drift = await (await cursor.execute(_DRIFT)).fetchall()
    return [
        _gauge("settled_due_requests", "Requests due to be read.", due, "account", "waiting"),
        _gauge(
            "settled_due_oldest_seconds",
            "How long the oldest due request has waited.",
            due,
            "account",
            "oldest_seconds",
        ),
        _gauge("settled_parked", "Work kept aside for later.", due, "account", "parked"),
        _states("settled_account_state", "1 for the state that an account is in.", due, "account"),
        _gauge(
            "settled_complete_up_to_timestamp_seconds",
            "Up to when the provider's list was looked through without a gap.",
            [row for row in coverage if row["complete_up_to"] is not None],
            "account",
            "complete_up_to",
        ),
        _gauge(
            "settled_untold_changes",
            "Changes since the last webhook that only looking found.",
            coverage,
            "account",
            "untold",
        ),
        _gauge("settled_deliveries_waiting", "Deliveries under way.", lanes, "endpoint", "backlog"),
        _gauge(
            "settled_delivery_oldest_seconds",
            "How long the oldest waiting delivery has waited.",
            lanes,
            "endpoint",
            "oldest_seconds",
        ),
        _states("settled_endpoint_state", "1 for the state that a lane is in.", lanes, "endpoint"),
        _gauge(
            "settled_events_today",
            "Events received since midnight UTC.",
            events,
            "account",
            "received",
        ),
        Gauge(
            "settled_drift",
            "Requests that differed from their provider in the newest finished reconcile.",
            [
                ({"account": row["account"], "class": str(each)}, row["drift"].get(str(each), 0.0))
                for row in drift
                for each in DriftClass
            ],
        ),
    ]


def _gauge(name: str, explained: str, rows: Sequence[DictRow], label: str, value: str) -> Gauge:
    return Gauge(name, explained, [({label: row[label]}, float(row[value])) for row in rows])


def _states(name: str, explained: str, rows: Sequence[DictRow], label: str) -> Gauge:
    return Gauge(
        name, explained, [({label: row[label], "state": row["state"]}, 1.0) for row in rows]
    )
