"""What is due: one narrow row per thing that may have to be read at a provider.

A trigger raises `wanted`; a read covers only the generations raised before it began. Claims are
leased: a worker that dies gives its rows back when the lease ends. Every write after the claim
carries the lease number, so that a worker whose lease was taken over changes nothing.
Source: LAYOUT.md, "From webhook to notification".
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import class_row

from service.domain.request import Key, Kind, ObservedBy

# Longer than the longest exchange (15 s) by 5 s, so that no honest read outlives its lease, and
# short, because it is how long a killed worker's rows wait. Source: RELIABILITY.md, F3, G18.
LEASE_SECONDS = 20.0

# Crashes (claimed, never finished) after which a row is parked. Source: LAYOUT.md.
CRASHES_MAX = 8

# From here on a row is claimed alone, so that it takes nobody with it and nobody's crashes are
# counted against it.
SUSPICIOUS_CRASHES = 2

# A row read often within 10 s waits before it may be read again, so that a hundred triggers
# cost a few reads. The first three reads go at once. Source: RELIABILITY.md, T2.
HURRY_SECONDS = (0.0, 0.0, 0.0, 1.0, 2.0, 5.0, 10.0)

# A trigger that comes during a read which then fails waits no longer than this, however long
# the failures have lasted. Source: CONTRACT.md, section 3, the first wait.
RAISED_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Claimed:
    """A leased row. crashes counts this claim as well, until it is finished.

    failing_seconds is the time since the first of the failures in a row, due_seconds since the
    row was made, late_seconds since it fell due. paced_seconds is the interval that its last turn
    was taken from, ends_at when its request ends or ended; None where there is none. stretch is by
    how much the account's budget stretches intervals. traceparent is that of the webhook that made
    us look.
    """

    account: str
    kind: str
    provider_id: str
    wanted: int
    lease_no: int
    known: bool
    urgency: int
    observed_by: str
    rereads: int
    crashes: int
    errors: int
    failing_seconds: float
    due_seconds: float
    late_seconds: float = 0.0
    paced_seconds: float | None = None
    ends_at: datetime | None = None
    stretch: float = 1.0
    traceparent: str | None = None

    @property
    def key(self) -> Key:
        return Key(self.account, Kind(self.kind), self.provider_id)

    @property
    def lease(self) -> tuple[str, str, str, int]:
        """What a write must still hold to change anything."""
        return (self.account, self.kind, self.provider_id, self.lease_no)


@dataclass(frozen=True, slots=True)
class Rest:
    """How a claimed row goes back: covered generations, and when to look next.

    covered None means that this look closes no generation: then the count of rereads and the
    reason for parking stay as they are, and so does everything about turns. next_seconds None
    means never by ourselves. errors is the new count of answered failures in a row, 0 after a good
    read. every_seconds and paced_seconds are the interval of its turns, as wished and as stretched,
    None where there are no turns; calls is what a look costs, listed whether a list shows as much.
    """

    claimed: Claimed
    covered: int | None
    next_seconds: float | None
    errors: int = 0
    rereads: int = 0
    reread: bool = False
    known: bool = False
    parked: str | None = None
    every_seconds: float | None = None
    paced_seconds: float | None = None
    calls: int = 1
    listed: bool = False
    ends_at: datetime | None = None


class DueTable:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def claim(self, limit: int, *, lease_seconds: float = LEASE_SECONDS) -> list[Claimed]:
        """Lease up to limit rows: told ones first, then polls, then unknown ids.

        Counts the claim as a crash until it is finished, so that a row which kills its worker
        is noticed even though nobody lives to report it. Rows with more than SUSPICIOUS_CRASHES
        are left to claim_suspicious.
        """
        values = {"limit": limit, "lease": lease_seconds, "suspicious": SUSPICIOUS_CRASHES}
        async with self._connection.cursor(row_factory=class_row(Claimed)) as cursor:
            await cursor.execute(_CLAIM, values)
            return await cursor.fetchall()

    async def claim_suspicious(self) -> Claimed | None:
        """Lease one row whose claims have ended in crashes; nothing else may be in hand."""
        values = {"lease": LEASE_SECONDS, "suspicious": SUSPICIOUS_CRASHES}
        async with self._connection.cursor(row_factory=class_row(Claimed)) as cursor:
            await cursor.execute(_CLAIM_SUSPICIOUS, values)
            return await cursor.fetchone()

    async def claim_these(self, keys: Iterable[Key]) -> list[Claimed]:
        """Lease the rows of keys, due or not, but for those that somebody else reads just now."""
        accounts, kinds, ids = _columns(sorted(set(keys)))
        values = {"accounts": accounts, "kinds": kinds, "ids": ids, "lease": LEASE_SECONDS}
        async with self._connection.cursor(row_factory=class_row(Claimed)) as cursor:
            await cursor.execute(_CLAIM_THESE, values)
            return await cursor.fetchall()

    async def held(self, claims: Sequence[Claimed]) -> set[Claimed]:
        """Return the claims whose lease is still theirs."""
        cursor = await self._connection.execute(
            """
            select due.account, due.kind, due.provider_id, due.lease_no
              from due
              join unnest(%b::text[], %b::text[], %b::text[], %b::bigint[])
                   as c (account, kind, provider_id, lease_no)
             using (account, kind, provider_id, lease_no)
            """,
            [*_columns(claim.key for claim in claims), [claim.lease_no for claim in claims]],
        )
        leases = set(await cursor.fetchall())
        return {claim for claim in claims if claim.lease in leases}

    async def lock(self, keys: Iterable[Key]) -> None:
        """Lock the rows of keys in key order, before several statements touch them."""
        await self._connection.execute(
            """
            select from due
              join unnest(%b::text[], %b::text[], %b::text[]) as k (account, kind, provider_id)
             using (account, kind, provider_id)
             order by account, kind, provider_id for update of due
            """,
            list(_columns(set(keys))),
        )

    async def rest(self, rests: Sequence[Rest]) -> int:
        """Give claimed rows back; return how many still were ours."""
        ordered = sorted(rests, key=lambda rest: rest.claimed.key)
        cursor = await self._connection.execute(
            _REST,
            {
                "accounts": [rest.claimed.account for rest in ordered],
                "kinds": [rest.claimed.kind for rest in ordered],
                "ids": [rest.claimed.provider_id for rest in ordered],
                "leases": [rest.claimed.lease_no for rest in ordered],
                "wanted": [rest.claimed.wanted for rest in ordered],
                "covered": [rest.covered for rest in ordered],
                "next": [rest.next_seconds for rest in ordered],
                "errors": [rest.errors for rest in ordered],
                "rereads": [rest.rereads for rest in ordered],
                "reread": [rest.reread for rest in ordered],
                "known": [rest.known for rest in ordered],
                "parked": [rest.parked for rest in ordered],
                "every": [rest.every_seconds for rest in ordered],
                "paced": [rest.paced_seconds for rest in ordered],
                "calls": [rest.calls for rest in ordered],
                "listed": [rest.listed for rest in ordered],
                "ends": [rest.ends_at for rest in ordered],
                "hurry": list(HURRY_SECONDS),
                "raised": RAISED_SECONDS,
            },
        )
        return cursor.rowcount

    async def trigger(
        self,
        keys: Iterable[Key],
        *,
        observed_by: ObservedBy,
        known: bool = False,
        traceparent: str | None = None,
    ) -> int:
        """Make keys due now, whoever asks; never touches a lease. Return how many rows.

        They are due in the order given, so that what happened first is read first. A person's
        trigger does not wait its turn behind a burst.

        An id that only a webhook named waits for the small budget of unknown ids; one that the
        provider's own list or a person named does not. What a webhook asked for and nobody has
        begun to read stays told by it, and keeps its traceparent.
        """
        places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        ordered = sorted(places)
        trusted = known or observed_by in (ObservedBy.SWEEP, ObservedBy.OPERATOR)
        cursor = await self._connection.execute(
            _TRIGGER,
            {
                "accounts": [key.account for key in ordered],
                "kinds": [key.kind for key in ordered],
                "ids": [key.provider_id for key in ordered],
                "behind": [len(places) - 1 - places[key] for key in ordered],
                "observed_by": observed_by,
                "told": observed_by is ObservedBy.WEBHOOK,
                "traceparent": traceparent,
                "known": known,
                "trusted": trusted,
                "urgency": 1 if observed_by is ObservedBy.SWEEP else 0,
                "at_once": observed_by is ObservedBy.OPERATOR,
            },
        )
        return cursor.rowcount

    async def wake_parts(self, keys: Iterable[Key]) -> None:
        """Make parts due that wait for a request to claim them, or are just being read for it.

        And those that were recorded as requests of their own: their rows come to rest as parts.
        """
        listed = sorted(set(keys))
        if not listed:
            return
        await self._connection.execute(
            """
            with waiting as materialized (
                select due.account, due.kind, due.provider_id from due
                  join unnest(%b::text[], %b::text[], %b::text[])
                       as k (account, kind, provider_id) using (account, kind, provider_id)
                 where parked in ('unclaimed', 'not_a_billing_request')
                    or leased_until > now()
                    or (kind = 'order' and known and parked is null)
                 order by account, kind, provider_id for update of due
            )
            update due set due_at = now(), parked = null, known = true, urgency = 0,
                           wanted = due.wanted + 1
              from waiting
             where (due.account, due.kind, due.provider_id)
                   = (waiting.account, waiting.kind, waiting.provider_id)
            """,
            list(_columns(listed)),
        )

    async def generation(self, key: Key) -> tuple[int, int] | None:
        """Return how often a key was wanted and up to where it was read, None if never."""
        cursor = await self._connection.execute(
            "select wanted, done from due where account = %s and kind = %s and provider_id = %s",
            [key.account, key.kind, key.provider_id],
        )
        row = await cursor.fetchone()
        return (row[0], row[1]) if row else None

    async def is_anything_due(self) -> bool:
        """Return whether a row can be claimed now."""
        cursor = await self._connection.execute(
            """
            select exists (select from due where urgency = 0
                              and due_at <= now() and leased_until <= now())
                or exists (select from due where urgency = 1
                              and due_at <= now() and leased_until <= now())
                or exists (select from due where urgency = 2
                              and due_at <= now() and leased_until <= now())
            """
        )
        row = await cursor.fetchone()
        return bool(row and row[0])


def _columns(keys: Iterable[Key]) -> tuple[list[str], list[str], list[str]]:
    listed = list(keys)
    return (
        [key.account for key in listed],
        [str(key.kind) for key in listed],
        [key.provider_id for key in listed],
    )


_LEASE = """
update due
   set leased_until = now() + make_interval(secs => %(lease)s),
       lease_no = lease_no + 1,
       crashes = crashes + 1
  from picked
 where (due.account, due.kind, due.provider_id)
       = (picked.account, picked.kind, picked.provider_id)
returning due.account, due.kind, due.provider_id, wanted, lease_no, known, urgency,
          case when told > done then 'webhook' else observed_by end as observed_by,
          rereads, crashes, errors,
          coalesce(extract(epoch from now() - failing_since), 0)::float8 as failing_seconds,
          extract(epoch from now() - first_due_at)::float8 as due_seconds,
          extract(epoch from now() - due_at)::float8 as late_seconds, paced_seconds, ends_at,
          coalesce((select stretch from poll_plans as plan where plan.account = due.account),
                   1)::float8 as stretch,
          case when told > done or observed_by = 'webhook' then traceparent end as traceparent
"""

_CLAIM = f"""
with told as materialized (
    select account, kind, provider_id from due
     where urgency = 0 and due_at <= now() and leased_until <= now()
       and crashes <= %(suspicious)s
     order by due_at limit %(limit)s for update skip locked
), polls as materialized (
    select account, kind, provider_id from due
     where urgency = 1 and due_at <= now() and leased_until <= now()
       and crashes <= %(suspicious)s
     order by due_at limit (%(limit)s - (select count(*) from told)) for update skip locked
), unknown as materialized (
    select account, kind, provider_id from due
     where urgency = 2 and due_at <= now() and leased_until <= now()
       and crashes <= %(suspicious)s
     order by due_at
     limit (%(limit)s - (select count(*) from told) - (select count(*) from polls))
       for update skip locked
), picked as (
    select * from told union all select * from polls union all select * from unknown
)
{_LEASE}
"""  # noqa: S608 - put together from constants

# All urgencies are named, so that the index on (urgency, due_at) finds what is due.
_CLAIM_SUSPICIOUS = f"""
with picked as materialized (
    select account, kind, provider_id from due
     where urgency in (0, 1, 2) and due_at <= now() and leased_until <= now()
       and crashes > %(suspicious)s
     order by due_at limit 1 for update skip locked
)
{_LEASE}
"""  # noqa: S608 - put together from constants

_CLAIM_THESE = f"""
with picked as materialized (
    select account, kind, provider_id from due
      join unnest(%(accounts)b::text[], %(kinds)b::text[], %(ids)b::text[])
           as k (account, kind, provider_id) using (account, kind, provider_id)
     where leased_until <= now()
     order by account, kind, provider_id for update of due skip locked
)
{_LEASE}
"""  # noqa: S608 - put together from constants

_REST = """
with back as (
    select * from unnest(
        %(accounts)b::text[], %(kinds)b::text[], %(ids)b::text[], %(leases)b::bigint[],
        %(wanted)b::bigint[], %(covered)b::bigint[], %(next)s::float8[], %(errors)b::integer[],
        %(rereads)b::smallint[], %(reread)b::boolean[], %(known)b::boolean[], %(parked)b::text[],
        %(every)s::real[], %(paced)s::real[], %(calls)b::smallint[], %(listed)b::boolean[],
        %(ends)b::timestamptz[]
    ) as b (account, kind, provider_id, lease_no, wanted, covered, next_seconds, errors, rereads,
            reread, known, parked, every_seconds, paced_seconds, calls, listed, ends_at)
), ours as materialized (
    select due.account, due.kind, due.provider_id,
           case when back.covered is null then hurry
                when now() - not_before < interval '10 s'
                then least(hurry + 1, cardinality(%(hurry)s::float8[]) - 1) else 0 end as hurry,
           (due.wanted > coalesce(back.covered, back.wanted)) as more,
           case when due.told > due.done then 'webhook' else due.observed_by end as asked_by,
           back.covered, back.next_seconds, back.errors, back.rereads, back.reread,
           back.known, back.parked, back.every_seconds, back.paced_seconds, back.calls,
           back.listed, back.ends_at
      from due join back using (account, kind, provider_id, lease_no)
     order by due.account, due.kind, due.provider_id
       for update of due
)
update due
   set leased_until = '-infinity',
       done = greatest(done, coalesce(ours.covered, done)),
       hurry = ours.hurry,
       not_before = case when ours.covered is null then due.not_before
           else now() + make_interval(secs => (%(hurry)s::float8[])[ours.hurry + 1]) end,
       due_at = case
           when ours.covered is not null and ours.more
               then now() + make_interval(secs => (%(hurry)s::float8[])[ours.hurry + 1])
           when ours.more then now() + make_interval(
               secs => least(ours.next_seconds, %(raised)s::float8))
           when ours.next_seconds is null then 'infinity'
           else now() + make_interval(secs => ours.next_seconds) end,
       crashes = 0,
       errors = ours.errors,
       failing_since = case when ours.errors = 0 then null
                            else coalesce(failing_since, now()) end,
       rereads = case when ours.covered is null then due.rereads
                      when ours.more then 0 else ours.rereads end,
       known = due.known or ours.known,
       parked = case when ours.covered is null then coalesce(ours.parked, due.parked)
                     else ours.parked end,
       every_seconds = case when ours.covered is null then due.every_seconds
                            else ours.every_seconds end,
       paced_seconds = case when ours.covered is null then due.paced_seconds
                            else ours.paced_seconds end,
       calls = case when ours.covered is null then due.calls else ours.calls end,
       listed = case when ours.covered is null then due.listed else ours.listed end,
       ends_at = case when ours.covered is null then due.ends_at else ours.ends_at end,
       urgency = case
           when ours.covered is not null and not ours.more and not ours.reread then
                case when due.known or ours.known then 1 else 2 end
           when due.known or ours.known then least(due.urgency, 1)
           else due.urgency end,
       observed_by = case
           when ours.covered is not null and not ours.more and not ours.reread then 'poll'
           when ours.reread then ours.asked_by
           else due.observed_by end
  from ours
 where (due.account, due.kind, due.provider_id) = (ours.account, ours.kind, ours.provider_id)
"""

_TRIGGER = """
insert into due (account, kind, provider_id, observed_by, told, traceparent, known, urgency,
                 due_at)
select account, kind, provider_id, %(observed_by)s, %(told)s::int, %(traceparent)s, %(known)s,
       case when %(trusted)s then %(urgency)s::smallint else 2 end,
       now() - behind * interval '1 microsecond'
  from unnest(%(accounts)b::text[], %(kinds)b::text[], %(ids)b::text[], %(behind)b::integer[])
       as t (account, kind, provider_id, behind)
 order by account, kind, provider_id
on conflict (account, kind, provider_id) do update
   set wanted = due.wanted + 1,
       due_at = case when %(at_once)s then now()
                     else least(due.due_at, greatest(excluded.due_at, due.not_before)) end,
       known = due.known or excluded.known,
       observed_by = excluded.observed_by,
       told = case when excluded.told > 0 then due.wanted + 1 else due.told end,
       traceparent = case when excluded.told > 0 then excluded.traceparent
                          else due.traceparent end,
       rereads = 0,
       parked = null,
       urgency = case when due.known or %(trusted)s
                      then least(due.urgency, %(urgency)s::smallint) else 2 end
"""
