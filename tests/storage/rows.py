"""Rows put straight into the tables, ordinary by default, for tests of what reads them."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from service.storage.database import Pool

AT = datetime(2026, 11, 20, 14, 31, 2, 418_000, tzinfo=UTC)


async def insert(pool: Pool, table: str, **values: object) -> None:
    """Insert one row into table."""
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join([sql.Placeholder()] * len(values)),
    )
    async with pool.connection() as connection:
        await connection.execute(statement, list(values.values()))


async def insert_order(pool: Pool, reference: str, **values: object) -> str:
    """Insert a registered order of 40.00 EUR that nobody has paid; return its id."""
    ordinary: dict[str, Any] = {
        "id": f"ord_{reference}",
        "registered": True,
        "status": "unpaid",
        "rule": "unpaid",
        "currency": "EUR",
        "amount": 4000,
        "created_at": AT,
        "updated_at": AT,
    }
    row = ordinary | {"reference": reference} | values
    await insert(pool, "orders", **row)
    return str(row["id"])


async def insert_request(pool: Pool, provider_id: str, **values: object) -> str:
    """Insert a paid Ginger order of 40.00 EUR; return our id of it."""
    ordinary: dict[str, Any] = {
        "id": f"prq_{provider_id}",
        "account": "ginger-nl",
        "kind": "order",
        "status": "paid",
        "provider_status": "completed",
        "final": True,
        "currency": "EUR",
        "amount": 4000,
        "received": 4000,
        "sequence": 1,
        "first_seen_at": AT,
        "observed_at": AT,
        "updated_at": AT,
    }
    row = ordinary | {"provider_id": provider_id} | values
    await insert(pool, "requests", **row)
    return str(row["id"])


async def insert_transition(pool: Pool, subject_id: str, sequence: int, **values: object) -> None:
    """Insert a transition to paid that a webhook made us find; its subject stands there then."""
    ordinary: dict[str, Any] = {
        "id": f"trn_{subject_id}_{sequence}",
        "subject": "request",
        "type": "payment_request.paid",
        "after": Jsonb({"status": "paid"}),
        "observed_by": "webhook",
        "answer_sha256": b"\x01" * 32,
        "recorded_at": AT,
        "chained_from": b"",
        "hash": sequence.to_bytes(32),
    }
    row = ordinary | {"subject_id": subject_id, "sequence": sequence} | values
    await stand(pool, subject_id, sequence, row["hash"])
    await insert(pool, "transitions", **row)


async def stand(pool: Pool, subject_id: str, sequence: int, chain: bytes) -> None:
    """Have a request, made where there is none, or an order stand at a sequence, whatever it was.

    The database takes a transition from no other.
    """
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("set local session_replication_role = replica")
        await connection.execute(
            "update orders set sequence = %s, chain = %b where id = %s",
            [sequence, chain, subject_id],
        )
        await connection.execute(
            """
            insert into requests (id, account, kind, provider_id, status, sequence, chain,
                                  first_seen_at)
            select %s, 'ginger-nl', 'order', %s, 'paid', %s, %b, %s
             where not exists (select from orders where id = %s)
            on conflict (id) do update set sequence = excluded.sequence, chain = excluded.chain
            """,
            [subject_id, subject_id, sequence, chain, AT, subject_id],
        )


async def insert_notification(pool: Pool, subject_id: str, sequence: int, **values: object) -> str:
    """Insert the notification of a transition that is there; return its id."""
    ordinary: dict[str, Any] = {
        "id": f"ntf_{subject_id}_{sequence}",
        "type": "payment_request.paid",
        "subject": "request",
        "body": b"{}",
        "created_at": AT,
    }
    row = ordinary | {"subject_id": subject_id, "sequence": sequence} | values
    await insert(pool, "notifications", **row)
    return str(row["id"])


async def insert_delivery(pool: Pool, notification_id: str, **values: object) -> str:
    """Insert a waiting delivery of a notification to the endpoint erp; return its id."""
    ordinary: dict[str, Any] = {
        "id": f"dlv_{notification_id}",
        "endpoint": "erp",
        "type": "payment_request.paid",
        "sequence": 1,
        "created_at": AT,
        "due_at": AT,
        "notified_at": AT,
    }
    row = ordinary | {"notification_id": notification_id} | values
    await insert(pool, "deliveries", **row)
    return str(row["id"])


async def insert_event(
    pool: Pool, event_id: str, provider_id: str, *, body: bytes | None = None, **values: object
) -> str:
    """Insert an accepted event about a Ginger order, and the body given; return our id of it."""
    ordinary: dict[str, Any] = {
        "day": AT.date(),
        "id": f"evt_{event_id}",
        "account": "ginger-nl",
        "kind": "order",
        "received_at": AT,
        "verdict": "accepted",
        "body_sha256": sha256(body or b"{}").digest(),
    }
    row = ordinary | {"event_id": event_id, "provider_id": provider_id} | values
    await insert(pool, "events", **row)
    if body is not None:
        day = row["received_at"].astimezone(UTC).date()
        await insert(pool, "event_bodies", day=day, sha256=sha256(body).digest(), body=body)
    return str(row["id"])
