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
from service.storage import due_statements as statements

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
            await cursor.execute(statements.CLAIM, values)
            return await cursor.fetchall()

    async def claim_suspicious(self) -> Claimed | None:
        """Lease one row whose claims have ended in crashes; nothing else may be in hand."""
        values = {"lease": LEASE_SECONDS, "suspicious": SUSPICIOUS_CRASHES}
        async with self._connection.cursor(row_factory=class_row(Claimed)) as cursor:
            await cursor.execute(statements.CLAIM_SUSPICIOUS, values)
            return await cursor.fetchone()

    async def claim_these(self, keys: Iterable[Key]) -> list[Claimed]:
        """Lease the rows of keys, due or not, but for those that somebody else reads just now."""
        accounts, kinds, ids = _columns(sorted(set(keys)))
        values = {"accounts": accounts, "kinds": kinds, "ids": ids, "lease": LEASE_SECONDS}
        async with self._connection.cursor(row_factory=class_row(Claimed)) as cursor:
            await cursor.execute(statements.CLAIM_THESE, values)
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
            statements.REST,
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
            statements.TRIGGER,
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
        """Return whether a row is due and not leased; a claim may pass it over all the same."""
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
