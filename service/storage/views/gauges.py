"""The gauges: how things stand now, asked of the database when somebody scrapes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from psycopg.rows import DictRow

from service.domain.drift import DriftClass
from service.storage.database import Pool
from service.storage.partitions import SHELVES
from service.storage.views.accounts import COMPLETE_UP_TO
from service.storage.views.reading import reading
from service.storage.workers import STUCK_SECONDS
from service.telemetry.metrics import Gauge

# Told is what a webhook made due: it never waits for a budget that polls have used up.
_DUE = """
    select name as account, state, 1 as here,
           (select count(*) from due where account = name
               and parked is not null and parked <> 'part_of_another') as parked,
           coalesce(waiting, 0) as waiting, coalesce(oldest_seconds, 0) as oldest_seconds,
           coalesce(told_seconds, 0) as told_seconds
      from accounts
      left join (select account, count(*) as waiting,
                        extract(epoch from now() - min(due_at)) as oldest_seconds,
                        extract(epoch from now() - min(due_at) filter (where told > done))
                            as told_seconds
                   from due
                  where urgency in (0, 1, 2) and due_at <= now() and leased_until <= now()
                    and not_before <= now() and parked is null
                  group by account) as late on late.account = name
     order by name
"""

# The changes counted are those that happened after the last webhook came in.
_COVERAGE = f"""
    select name as account, extract(epoch from {COMPLETE_UP_TO}) as complete_up_to,
           (select count(*) from untold_changes where account = name
               and called_for and happened_at > coalesce(heard_at, added_at)) as untold
      from accounts order by name
"""  # noqa: S608 - put together from a constant

_STRETCHED = """
    select account, stretch from poll_plans where next_at > '-infinity' order by account
"""

# Of the newest plan: those of accounts that were removed are made no more.
_PLANNED = """
    select greatest(0, extract(epoch from now() - max(next_at))) as late_seconds
      from poll_plans where next_at > '-infinity'
"""

_LANES = """
    select name as endpoint, state, 1 as here, backlog,
           coalesce(extract(epoch from now() - oldest_at), 0) as oldest_seconds,
           (select count(*) from deliveries where endpoint = name and state = 'dead'
               and closed_at > now() - interval '24 hours') as dead
      from endpoints,
           lateral (select count(*) as backlog, min(created_at) as oldest_at
                      from deliveries where endpoint = name and state = 'waiting') as waiting
     order by name
"""

_UNPLACED = """
    select coalesce(extract(epoch from now() - min(created_at)), 0) as oldest_seconds
      from notifications where position is null
"""

# One that was killed leaves its row: only who gave a sign of life lately counts. Stuck is who
# finishes nothing although reads wait, as the supervisor sees it.
_WORKERS = """
    select count(*) as alive,
           count(*) filter (where progressed_at < lately
                              and exists (select from due where urgency in (0, 1)
                                             and due_at < lately and leased_until < lately))
               as stuck
      from workers, (select now() - make_interval(secs => %(stuck)s) as lately) as since
     where seen_at > lately
"""

_EVENTS = """
    select account, count(*) as received
      from events where day >= (now() at time zone 'utc')::date
     group by account order by account
"""

# Of the newest finished run of each account, a dry one included.
_DRIFT = """
    select name as account, class, coalesce((drift ->> class)::int, 0) as differed
      from accounts, unnest(%(classes)s::text[]) as class,
           lateral (select drift from reconciles
                     where account = name and finished_at is not null
                     order by finished_at desc limit 1) as newest
     order by name, class
"""

_PARTITIONS = " union all ".join(
    f"select '{table}' as table, exists (select from {table}_default)::int as used"  # noqa: S608
    for shelf in SHELVES
    for table in shelf.tables
)

_VALUES: Final = {"stuck": STUCK_SECONDS, "classes": [str(each) for each in DriftClass]}


@dataclass(frozen=True, slots=True)
class Asked:
    """A gauge and the columns of a question's rows that it shows; a null is no sample."""

    name: str
    help: str
    question: str
    value: str
    labels: tuple[str, ...] = ()


GAUGES: Final = (
    Asked("settled_due_requests", "Requests due to be read.", _DUE, "waiting", ("account",)),
    Asked(
        "settled_due_oldest_seconds",
        "How long the oldest due request has waited.",
        *(_DUE, "oldest_seconds", ("account",)),
    ),
    Asked(
        "settled_told_oldest_seconds",
        "How long the oldest request that a webhook made due has waited.",
        *(_DUE, "told_seconds", ("account",)),
    ),
    Asked("settled_parked", "Work kept aside for later.", _DUE, "parked", ("account",)),
    Asked(
        "settled_account_state",
        "1 for the state that an account is in.",
        *(_DUE, "here", ("account", "state")),
    ),
    Asked(
        "settled_stretched",
        "How many times longer than wished the polling intervals of an account are.",
        *(_STRETCHED, "stretch", ("account",)),
    ),
    Asked(
        "settled_plan_late_seconds",
        "How long ago the round of every minute was due; beat calls for it, a worker does it.",
        *(_PLANNED, "late_seconds"),
    ),
    Asked(
        "settled_complete_up_to_timestamp_seconds",
        "Up to when the provider's list was looked through without a gap.",
        *(_COVERAGE, "complete_up_to", ("account",)),
    ),
    Asked(
        "settled_untold_changes",
        "Changes since the last webhook that only looking found.",
        *(_COVERAGE, "untold", ("account",)),
    ),
    Asked("settled_deliveries_waiting", "Deliveries under way.", _LANES, "backlog", ("endpoint",)),
    Asked(
        "settled_delivery_oldest_seconds",
        "How long the oldest waiting delivery has waited.",
        *(_LANES, "oldest_seconds", ("endpoint",)),
    ),
    Asked(
        "settled_dead_letters",
        "Deliveries given up in the last 24 hours and not sent again.",
        *(_LANES, "dead", ("endpoint",)),
    ),
    Asked(
        "settled_endpoint_state",
        "1 for the state that a lane is in.",
        *(_LANES, "here", ("endpoint", "state")),
    ),
    Asked(
        "settled_unplaced_oldest_seconds",
        "How long the oldest message has waited for its place in the feed.",
        *(_UNPLACED, "oldest_seconds"),
    ),
    Asked("settled_workers", "Workers that give signs of life.", _WORKERS, "alive"),
    Asked(
        "settled_workers_stuck",
        "Workers of these that finish nothing although reads wait.",
        *(_WORKERS, "stuck"),
    ),
    Asked(
        "settled_events_today",
        "Events received since midnight UTC.",
        *(_EVENTS, "received", ("account",)),
    ),
    Asked(
        "settled_drift",
        "Requests that differed from their provider in the newest finished reconcile.",
        *(_DRIFT, "differed", ("account", "class")),
    ),
    Asked(
        "settled_default_partition_used",
        "1 for a table with rows of a time for which nobody made a partition.",
        *(_PARTITIONS, "used", ("table",)),
    ),
)


async def read_gauges(pool: Pool) -> Sequence[Gauge]:
    """Return all gauges. Raises Unavailable."""
    answers: dict[str, list[DictRow]] = {}
    async with reading(pool) as cursor:
        for asked in GAUGES:
            if asked.question not in answers:
                await cursor.execute(asked.question, _VALUES)
                answers[asked.question] = await cursor.fetchall()
    return [_gauge(asked, answers[asked.question]) for asked in GAUGES]


def _gauge(asked: Asked, rows: Sequence[DictRow]) -> Gauge:
    samples: list[tuple[Mapping[str, str], float]] = [
        ({label: row[label] for label in asked.labels}, float(row[asked.value]))
        for row in rows
        if row[asked.value] is not None
    ]
    return Gauge(asked.name, asked.help, samples)
