"""Answers by Idempotency-Key: repeated for a day, then forgotten."""

from service.storage.database import Pool
from service.storage.idempotency import forget_answers
from tests.storage.rows import insert


async def test_an_answer_is_forgotten_after_a_day_and_not_before(emptied: Pool) -> None:
    async with emptied.connection() as connection:
        for key, age in (("old", "25 hours"), ("young", "23 hours")):
            await insert(emptied, "idempotency_keys", api_key="erp", key=key, fingerprint=b"")
            await connection.execute(
                "update idempotency_keys set created_at = now() - %s::interval where key = %s",
                [age, key],
            )

        forgotten = await forget_answers(connection)
        kept = await (await connection.execute("select key from idempotency_keys")).fetchall()

    assert forgotten == 1
    assert kept == [("young",)]
