"""The consumer in deploy/examples ends with the right state, whatever becomes of the pushes."""

import json
import runpy
from pathlib import Path
from random import Random
from typing import Any

import httpx

from service.runtime import Runtime
from tests.storage.rows import insert_notification, insert_transition

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "consumer.py"
SEEDS = 6
CHANGES = 12


class Erp:
    """An ERP whose webhooks are lost, come twice and overtake each other, as chance has it."""

    def __init__(self, api: httpx.AsyncClient, chance: Random) -> None:
        self.consumer: Any = runpy.run_path(str(EXAMPLE))["Consumer"]()
        self._api = api
        self._chance = chance
        self._under_way: list[dict[str, Any]] = []

    def push(self, message: dict[str, Any]) -> None:
        self._under_way += [message] * self._chance.choice([0, 1, 1, 2])
        self._chance.shuffle(self._under_way)
        while self._under_way and self._chance.random() < 0.4:
            self.consumer.take(self._under_way.pop())

    def let_the_rest_arrive(self) -> None:
        for message in self._under_way:
            self.consumer.take(message)

    async def pull(self) -> None:
        """Pull page after page; they are fetched first, since the example waits for them."""
        pages: list[Any] = []
        cursor = self.consumer.cursor
        while not pages or pages[-1]["data"]:
            query = {"limit": "7"} | ({"after": cursor} if cursor else {})
            pages.append((await self._api.get("/v1/changes", params=query)).json())
            cursor = pages[-1]["next"]
        self.consumer.pull(lambda _after: pages.pop(0))


async def change(runtime: Runtime, subject: str, sequence: int, status: str) -> dict[str, Any]:
    """Write one more message about a request; return it."""
    data = {"request_id": subject, "sequence": sequence, "status": status}
    message = {"id": f"ntf_{subject}_{sequence}", "type": "payment_request.x", "data": data}
    await insert_transition(runtime.pool, subject, sequence)
    body = json.dumps(message).encode()
    await insert_notification(runtime.pool, subject, sequence, body=body)
    return message


async def test_push_and_pull_together_end_with_the_right_state(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    truth: dict[str, dict[str, Any]] = {}
    right_by_push_alone = 0
    for seed in range(SEEDS):
        chance = Random(seed)
        erp = Erp(api, chance)
        for _ in range(CHANGES):
            subject = f"prq_{seed}_{chance.randrange(4)}"
            sequence = truth[subject]["data"]["sequence"] + 1 if subject in truth else 1
            truth[subject] = await change(runtime, subject, sequence, chance.choice("abc"))
            erp.push(truth[subject])
            if chance.random() < 0.1:
                await erp.pull()
        erp.let_the_rest_arrive()
        right_by_push_alone += erp.consumer.newest == truth
        await erp.pull()
        erp.let_the_rest_arrive()

        assert erp.consumer.newest == truth
    assert right_by_push_alone < SEEDS


async def test_what_is_about_no_request_or_order_changes_nothing(api: httpx.AsyncClient) -> None:
    erp = Erp(api, Random(0))

    erp.consumer.take({"type": "endpoint.test", "id": "ntf_1", "data": {}})

    assert erp.consumer.newest == {}
