"""Orders: what the ERP wants paid, and what its requests add up to."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from psycopg import AsyncConnection
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from service.domain.money import Money
from service.domain.order import OrderState, Sibling
from service.domain.request import Key
from service.storage.identifiers import new_id
from service.storage.requests import request_of


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order as recorded. status is None until it was rolled up once."""

    id: str
    reference: str
    registered: bool
    registered_as: bytes | None
    withdrawn: bool
    version: int
    status: str | None
    rule: str | None
    currency: str | None
    amount: int | None
    received: int
    refunded: int
    taken_back: int
    booked: int
    sequence: int
    attention: Sequence[str]
    raised_by: Sequence[str]
    chain: bytes
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RolledUp:
    """What an order adds up to now, and where its history stands."""

    id: str
    state: OrderState
    sequence: int
    chain: bytes


@dataclass(frozen=True, slots=True)
class Named:
    """An order by its reference."""

    id: str
    reference: str


@dataclass(frozen=True, slots=True)
class Member:
    """A request of an order, with what an order message says of it."""

    sibling: Sibling
    key: Key


@dataclass(frozen=True, slots=True)
class Expected:
    """What the ERP wants of an order that it registered."""

    amount: Money
    withdrawn: bool
    metadata: Mapping[str, object]

    @classmethod
    def of(cls, order: OrderRow) -> Self:
        """Return what is expected of an order, which is registered."""
        assert order.amount is not None, "an order is registered with an amount"
        assert order.currency is not None, "an order is registered with a currency"
        return cls(Money(order.amount, order.currency), order.withdrawn, order.metadata)


_FIELDS = """id, reference, registered, registered_as, withdrawn, version, status, rule,
    currency, amount, received, refunded, taken_back, booked, sequence, attention, raised_by, chain,
    metadata"""


class OrdersTable:
    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def discover(self, references: Iterable[str]) -> dict[str, str]:
        """Return the order id of each reference, making unregistered orders where none is."""
        ordered = sorted(set(references))
        if not ordered:
            return {}
        cursor = await self._connection.execute(
            """
            insert into orders (id, reference)
            select * from unnest(%b::text[], %b::text[]) as o (id, reference) order by reference
            on conflict (reference) do nothing
            returning reference, id
            """,
            [[new_id("ord") for _ in ordered], ordered],
        )
        made = dict(await cursor.fetchall())
        if len(made) == len(ordered):
            return made
        cursor = await self._connection.execute(
            "select reference, id from orders where reference = any(%b)", [ordered]
        )
        return dict(await cursor.fetchall())

    async def agree_on(self, stripped: Iterable[str]) -> None:
        """Let only one transaction at a time decide what these stripped references mean.

        Run it first: whoever registers an order, and whoever reads its request at that moment,
        would otherwise miss each other.
        """
        ordered = sorted(set(stripped))
        if ordered:
            await self._connection.execute(
                """
                select pg_advisory_xact_lock(number)
                  from (select distinct hashtextextended(reference, 15) as number
                          from unnest(%b::text[]) as s (reference) order by 1) as s
                """,
                [ordered],
            )

    async def reading(self, stripped: Iterable[str]) -> dict[str, list[Named]]:
        """Return the registered orders whose references read so without the rest.

        At most two of each, one of exactly that reference first: all that matters is whether there
        is such a one, or one alone. Found by the index.
        """
        ordered = sorted(set(stripped))
        if not ordered:
            return {}
        cursor = await self._connection.execute(
            """
            select s.reference, o.id, o.reference
              from unnest(%b::text[]) as s (reference)
             cross join lateral (
                   select id, orders.reference from orders
                    where registered
                      and regexp_replace(orders.reference, '[^A-Za-z0-9]', '', 'g') = s.reference
                    order by orders.reference <> s.reference, orders.reference
                    limit 2) as o
            """,
            [ordered],
        )
        found: dict[str, list[Named]] = defaultdict(list)
        for stripped_reference, order_id, reference in await cursor.fetchall():
            found[stripped_reference].append(Named(order_id, reference))
        return found

    async def lock(self, ids: Iterable[str]) -> list[OrderRow]:
        """Lock orders by reference, the one lock order everywhere, and return them.

        A lock that lets foreign keys through: two transactions that have each put a request
        under one order would otherwise wait for each other.
        """
        async with self._connection.cursor(row_factory=class_row(OrderRow)) as cursor:
            await cursor.execute(
                f"""
                select {_FIELDS} from orders where id = any(%b)
                 order by reference for no key update
                """,  # noqa: S608 - constant list of columns
                [sorted(set(ids))],
            )
            return await cursor.fetchall()

    async def members(self, ids: Iterable[str]) -> dict[str, list[Member]]:
        """Return the requests of each order, by request id; not those that are parts of others.

        Run it after the statement that locked the orders, never in the same one: only a new
        snapshot shows what the last holder of the lock committed.
        """
        listed = sorted(set(ids))
        members: dict[str, list[Member]] = defaultdict(list)
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(
                """
                select * from requests as r
                 where order_id = any(%b)
                   and not exists (select from related as part
                                    where (part.account, part.kind, part.provider_id)
                                          = (r.account, r.kind, r.provider_id))
                 order by id
                """,
                [listed],
            )
            for row in await cursor.fetchall():
                request = request_of(row)
                sibling = Sibling(request.id, request.direction, request.facts)
                members[row["order_id"]].append(Member(sibling, request.key))
        return members

    async def register(
        self,
        order_id: str,
        *,
        currency: str,
        amount: int,
        metadata: Mapping[str, object],
        registered_as: bytes,
    ) -> None:
        """Write what the ERP expects; the row must be locked by this transaction."""
        await self._connection.execute(
            """
            update orders set registered = true, currency = %s, amount = %s, metadata = %s,
                              registered_as = %s, updated_at = now()
             where id = %s
            """,
            [currency, amount, Jsonb(dict(metadata)), registered_as, order_id],
        )

    async def find(self, reference: str) -> str | None:
        """Return the id of the order with this reference, without locking it."""
        cursor = await self._connection.execute(
            "select id from orders where reference = %s", [reference]
        )
        row = await cursor.fetchone()
        return row[0] if row else None

    async def expect(self, order_id: str, expected: Expected) -> None:
        """Write what the ERP expects from now on; the row must be locked by this transaction."""
        await self._connection.execute(
            """
            update orders set currency = %s, amount = %s, withdrawn = %s, metadata = %s,
                              version = version + 1, updated_at = now()
             where id = %s
            """,
            [
                expected.amount.currency,
                expected.amount.minor,
                expected.withdrawn,
                Jsonb(dict(expected.metadata)),
                order_id,
            ],
        )

    async def acknowledge(self, order_id: str, code: str) -> None:
        """Take a code from an order; the row must be locked by this transaction."""
        await self._connection.execute(
            """
            update orders set attention = array_remove(attention, %s), version = version + 1,
                              updated_at = now()
             where id = %s
            """,
            [code, order_id],
        )

    async def save(self, orders: Sequence[RolledUp]) -> None:
        """Write what orders add up to; the rows must be locked by this transaction."""
        if not orders:
            return
        columns = [
            (
                order.id,
                str(order.state.status),
                order.state.rule,
                order.state.currency,
                order.state.received,
                order.state.refunded,
                order.state.taken_back,
                order.state.booked,
                ",".join(sorted(order.state.attention)),
                ",".join(sorted(order.state.grounds)),
                order.sequence,
                order.chain,
            )
            for order in orders
        ]
        # Attention and grounds travel as one comma-separated text per row, as in requests.
        await self._connection.execute(
            """
            update orders as o
               set status = s.status, rule = s.rule, received = s.received,
                   refunded = s.refunded, taken_back = s.taken_back, booked = s.booked,
                   attention = string_to_array(s.attention, ','),
                   raised_by = string_to_array(s.raised_by, ','), sequence = s.sequence,
                   chain = s.chain, currency = coalesce(o.currency, s.currency),
                   version = o.version + 1, updated_at = now()
              from unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::bigint[],
                          %b::bigint[], %b::bigint[], %b::bigint[], %b::text[], %b::text[],
                          %b::bigint[], %b::bytea[])
                   as s (id, status, rule, currency, received, refunded, taken_back, booked,
                         attention, raised_by, sequence, chain)
             where o.id = s.id
            """,
            [list(column) for column in zip(*columns, strict=True)],
        )
