"""Requests: one row per thing asked of a payer, as last judged."""

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row

from service.domain.money import Money
from service.domain.request import (
    Direction,
    Facts,
    Key,
    Kind,
    LinkedBy,
    Listing,
    PaymentRequest,
    Related,
)
from service.domain.status import Status
from service.storage.identifiers import new_id

_SAVED = (
    ("direction", "text"),
    ("registered", "boolean"),
    ("order_id", "text"),
    ("linked_by", "text"),
    ("reference", "text"),
    ("status", "text"),
    ("provider_status", "text"),
    ("final", "boolean"),
    ("reason", "text"),
    ("currency", "text"),
    ("amount", "bigint"),
    ("received", "bigint"),
    ("refunded", "bigint"),
    ("taken_back", "bigint"),
    ("booked", "bigint"),
    ("version", "bigint"),
    ("lease_no", "bigint"),
    ("sequence", "bigint"),
    ("parked", "text"),
    ("attention", "text"),
    ("raised_by", "text"),
    ("chain", "bytea"),
    ("occurred_at", "timestamptz"),
    ("listed_id", "text"),
    ("list_mark", "text"),
)


class RequestsTable:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def make(self, keys: Iterable[Key], *, registered: bool = False) -> None:
        """Make rows for keys that have none."""
        ordered = sorted(set(keys))
        if not ordered:
            return
        await self._connection.execute(
            """
            insert into requests (id, account, kind, provider_id, registered)
            select id, account, kind, provider_id, %s
              from unnest(%b::text[], %b::text[], %b::text[], %b::text[])
                   as k (id, account, kind, provider_id)
             order by account, kind, provider_id
            on conflict (account, kind, provider_id) do nothing
            """,
            [
                registered,
                [new_id("prq") for _ in ordered],
                [key.account for key in ordered],
                [str(key.kind) for key in ordered],
                [key.provider_id for key in ordered],
            ],
        )

    async def unmake(self, keys: Iterable[Key]) -> None:
        """Take back rows that `make` made in this transaction and that nothing was written to."""
        ordered = sorted(set(keys))
        if not ordered:
            return
        await self._connection.execute(
            """
            delete from requests as r
             using unnest(%b::text[], %b::text[], %b::text[])
                   as k (account, kind, provider_id)
             where (r.account, r.kind, r.provider_id) = (k.account, k.kind, k.provider_id)
               and sequence = 0 and not registered
            """,
            [
                [key.account for key in ordered],
                [str(key.kind) for key in ordered],
                [key.provider_id for key in ordered],
            ],
        )

    async def lock(self, keys: Iterable[Key]) -> dict[Key, PaymentRequest]:
        """Lock the rows of keys in key order, the one lock order everywhere, and return them."""
        return await self._select(keys, "for update of r")

    async def lock_by_id(self, request_id: str) -> PaymentRequest | None:
        """Lock one request, by our id; in no transaction that locks others."""
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute("select * from requests where id = %s for update", [request_id])
            row = await cursor.fetchone()
        return request_of(row) if row else None

    async def find(self, keys: Iterable[Key]) -> dict[Key, PaymentRequest]:
        """Return the rows of keys without locking them."""
        return await self._select(keys, "")

    async def _select(self, keys: Iterable[Key], locking: str) -> dict[Key, PaymentRequest]:
        ordered = sorted(set(keys))
        if not ordered:
            return {}
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                f"""
                select r.* from requests as r
                  join unnest(%b::text[], %b::text[], %b::text[])
                       as k (account, kind, provider_id) using (account, kind, provider_id)
                 order by r.account, r.kind, r.provider_id
                {locking}
                """,  # noqa: S608 - locking is one of two constants above
                [
                    [key.account for key in ordered],
                    [str(key.kind) for key in ordered],
                    [key.provider_id for key in ordered],
                ],
            )
            requests = [request_of(row) for row in await cursor.fetchall()]
        return {request.key: request for request in requests}

    async def save(self, requests: Sequence[PaymentRequest]) -> None:
        """Write requests back; the rows must be locked by this transaction."""
        if not requests:
            return
        rows = [_row_of(request) for request in requests]
        names = [name for name, _ in _SAVED]
        values = {name: [row[name] for row in rows] for name in names}
        values["ids"] = [request.id for request in requests]
        values["attention"] = [",".join(sorted(request.attention)) for request in requests]
        values["raised_by"] = [",".join(sorted(request.raised_by)) for request in requests]
        await self._connection.execute(_SAVE, values)

    async def relate(self, related: Iterable[tuple[PaymentRequest, Related]]) -> set[Key]:
        """Remember ids that belong to requests, so that later events on them are known.

        Return those that were not remembered yet.
        """
        rows = [
            (request.key.account, str(item.kind), item.provider_id, request.id, item.related_as)
            for request, item in related
        ]
        if not rows:
            return set()
        rows.sort()
        cursor = await self._connection.execute(
            """
            insert into related (account, kind, provider_id, request_id, related_as)
            select * from unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::text[])
            on conflict (account, kind, provider_id) do nothing
            returning account, kind, provider_id
            """,
            [list(column) for column in zip(*rows, strict=True)],
        )
        return {Key(account, Kind(kind), name) for account, kind, name in await cursor.fetchall()}

    async def naming(self, reference: str, *, accounts: Iterable[str]) -> list[Key]:
        """Return the requests at accounts that have this reference, without locking them."""
        cursor = await self._connection.execute(
            "select account, kind, provider_id from requests"
            " where reference = %s and account = any(%b)",
            [reference, sorted(accounts)],
        )
        return [Key(account, Kind(kind), name) for account, kind, name in await cursor.fetchall()]

    async def registered_amounts(self, keys: Iterable[Key]) -> dict[Key, Money]:
        """Return what the ERP registered for orders that these requests are alone in."""
        listed = list(keys)
        if not listed:
            return {}
        cursor = await self._connection.execute(
            """
            select r.account, r.kind, r.provider_id, o.amount, o.currency
              from requests as r
              join unnest(%b::text[], %b::text[], %b::text[])
                   as k (account, kind, provider_id) using (account, kind, provider_id)
              join orders as o on o.id = r.order_id and o.registered
             where not exists (select from requests as other
                                where other.order_id = o.id and other.id <> r.id)
            """,
            [
                [key.account for key in listed],
                [str(key.kind) for key in listed],
                [key.provider_id for key in listed],
            ],
        )
        return {
            Key(account, Kind(kind), provider_id): Money(minor, currency)
            for account, kind, provider_id, minor, currency in await cursor.fetchall()
        }

    async def owners(self, keys: Iterable[Key]) -> dict[Key, Key]:
        """Return, for keys known to be part of a request, the key of that request."""
        listed = list(keys)
        if not listed:
            return {}
        cursor = await self._connection.execute(
            """
            select related.account, related.kind, related.provider_id, r.kind, r.provider_id
              from related
              join unnest(%b::text[], %b::text[], %b::text[])
                   as k (account, kind, provider_id) using (account, kind, provider_id)
              join requests as r on r.id = related.request_id
            """,
            [
                [key.account for key in listed],
                [str(key.kind) for key in listed],
                [key.provider_id for key in listed],
            ],
        )
        return {
            Key(account, Kind(kind), provider_id): Key(account, Kind(owner_kind), owner_id)
            for account, kind, provider_id, owner_kind, owner_id in await cursor.fetchall()
        }


def request_of(row: DictRow) -> PaymentRequest:
    """Return the request that a row of the table holds."""
    facts = None
    if row["status"] is not None:
        facts = Facts(
            status=Status(row["status"]),
            final=row["final"],
            currency=row["currency"],
            amount=row["amount"],
            received=row["received"],
            refunded=row["refunded"],
            taken_back=row["taken_back"],
            booked=row["booked"],
            provider_status=row["provider_status"],
            reason=row["reason"],
        )
    listed = row["listed_id"] is not None
    return PaymentRequest(
        id=row["id"],
        key=Key(row["account"], Kind(row["kind"]), row["provider_id"]),
        first_seen_at=row["first_seen_at"],
        direction=Direction(row["direction"]),
        facts=facts,
        version=row["version"],
        lease_no=row["lease_no"],
        sequence=row["sequence"],
        reference=row["reference"],
        order_id=row["order_id"],
        linked_by=LinkedBy(row["linked_by"]) if row["linked_by"] else None,
        registered=row["registered"],
        parked=row["parked"],
        attention=frozenset(row["attention"]),
        raised_by=frozenset(row["raised_by"]),
        occurred_at=row["occurred_at"],
        listing=Listing(row["listed_id"], row["list_mark"]) if listed else None,
        chain=row["chain"],
    )


def _row_of(request: PaymentRequest) -> dict[str, object]:
    facts = request.facts
    return {
        "direction": str(request.direction),
        "registered": request.registered,
        "order_id": request.order_id,
        "linked_by": request.linked_by,
        "reference": request.reference,
        "status": str(facts.status) if facts else None,
        "provider_status": facts.provider_status if facts else None,
        "final": facts.final if facts else False,
        "reason": facts.reason if facts else None,
        "currency": facts.currency if facts else None,
        "amount": facts.amount if facts else None,
        "received": facts.received if facts else 0,
        "refunded": facts.refunded if facts else 0,
        "taken_back": facts.taken_back if facts else 0,
        "booked": facts.booked if facts else 0,
        "version": request.version,
        "lease_no": request.lease_no,
        "sequence": request.sequence,
        "parked": request.parked,
        "attention": None,
        "raised_by": None,
        "chain": request.chain,
        "occurred_at": request.occurred_at,
        "listed_id": request.listing.provider_id if request.listing else None,
        "list_mark": request.listing.mark if request.listing else None,
    }


# Attention and what raised it travel as one comma-separated text per row, because PostgreSQL's
# unnest flattens arrays of arrays; neither ever holds a comma.
_LISTS = ("attention", "raised_by")
_SAVE = f"""
update requests as r
   set {", ".join(f"{name} = s.{name}" for name, _ in _SAVED if name not in _LISTS)},
       {", ".join(f"{name} = string_to_array(s.{name}, ',')" for name in _LISTS)},
       observed_at = case when s.lease_no > r.lease_no then now() else r.observed_at end,
       updated_at = case when (s.sequence, s.parked, s.order_id, s.reference, s.provider_status,
                               s.final, s.reason, s.amount,
                               string_to_array(s.attention, ','))
                              is distinct from
                              (r.sequence, r.parked, r.order_id, r.reference, r.provider_status,
                               r.final, r.reason, r.amount, r.attention)
                         then now() else r.updated_at end
  from unnest(%(ids)b::text[], {", ".join(f"%({name})b::{kind}[]" for name, kind in _SAVED)})
       as s (id, {", ".join(name for name, _ in _SAVED)})
 where r.id = s.id
"""  # noqa: S608 - built from the constant list of columns above
