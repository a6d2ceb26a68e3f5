"""Answers by Idempotency-Key, so that a call sent twice acts once.

A key belongs to the API key that used it, and to the content it came with. What it guards is
safe to do twice all the same: this saves the second answer from being another one.
"""

from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from service.errors import Conflict, Refused
from service.storage.database import Pool
from service.storage.unit_of_work import connected

# A call that did not end within this has died with its process.
ABANDONED_SECONDS = 120

# How long an answer is repeated; what people are used to from other payment interfaces.
KEPT_HOURS = 24


@dataclass(frozen=True, slots=True)
class Guarded:
    """One use of an Idempotency-Key: by whom, the key, and the SHA-256 of the call."""

    api_key: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer that was given. etag is the version that it named, None where it named none."""

    status_code: int
    body: bytes
    etag: str | None


async def begin(pool: Pool, guarded: Guarded) -> Answered | None:
    """Claim the key and return None, or return the answer that it has had already.

    Raises Conflict while the first call is in progress, and Refused (422) when the key was used
    for another call.
    """
    async with connected(pool) as connection:
        claimed = await connection.execute(
            """
            insert into idempotency_keys as k (api_key, key, fingerprint)
            values (%(api_key)s, %(key)s, %(fingerprint)b)
            on conflict (api_key, key) do update
               set fingerprint = excluded.fingerprint, status_code = null, body = null,
                   etag = null, created_at = now()
             where k.created_at < now() - make_interval(hours => %(kept)s)
                or (k.status_code is null and k.fingerprint = excluded.fingerprint
                    and k.created_at < now() - make_interval(secs => %(abandoned)s))
            returning true
            """,
            {
                "api_key": guarded.api_key,
                "key": guarded.key,
                "fingerprint": guarded.fingerprint,
                "kept": KEPT_HOURS,
                "abandoned": ABANDONED_SECONDS,
            },
        )
        if await claimed.fetchone():
            return None
        found = await connection.execute(
            "select fingerprint, status_code, body, etag from idempotency_keys"
            " where api_key = %s and key = %s",
            [guarded.api_key, guarded.key],
        )
        return _answer_in(await found.fetchone(), guarded)


def _answer_in(
    row: tuple[bytes, int | None, bytes, str | None] | None, guarded: Guarded
) -> Answered | None:
    if row is not None and row[0] != guarded.fingerprint:
        raise Refused(
            "this Idempotency-Key was used for another call",
            code="idempotency_key_reused",
            status_code=422,
        )
    if row is None or row[1] is None:
        raise Conflict(
            "the first call with this Idempotency-Key is in progress",
            code="idempotency_key_in_progress",
        )
    return Answered(row[1], row[2], row[3])


async def finish(pool: Pool, guarded: Guarded, answered: Answered) -> None:
    """Keep the answer for whoever sends the same call again."""
    async with connected(pool) as connection:
        await connection.execute(
            "update idempotency_keys set status_code = %s, body = %b, etag = %s"
            " where api_key = %s and key = %s and fingerprint = %b",
            [
                answered.status_code,
                answered.body,
                answered.etag,
                guarded.api_key,
                guarded.key,
                guarded.fingerprint,
            ],
        )


async def release(pool: Pool, guarded: Guarded) -> None:
    """Give the key back: the call was refused and did nothing."""
    async with connected(pool) as connection:
        await connection.execute(
            "delete from idempotency_keys"
            " where api_key = %s and key = %s and fingerprint = %b and status_code is null",
            [guarded.api_key, guarded.key, guarded.fingerprint],
        )


async def forget_answers(connection: AsyncConnection[Any]) -> int:
    """Delete answers that are not repeated any more; return how many."""
    cursor = await connection.execute(
        "delete from idempotency_keys where created_at < now() - make_interval(hours => %s)",
        [KEPT_HOURS],
    )
    return cursor.rowcount
