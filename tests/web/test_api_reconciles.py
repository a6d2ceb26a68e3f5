"""/v1/reconcile and /v1/reconciles: asking workers for a run, and watching it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from service.runtime import Runtime
from tests.storage.rows import insert
from tests.web.conftest import KEYS, client_of

NOTHING = dict.fromkeys(
    ("missed", "lagging", "conflicting_amount", "unknown_here", "unknown_there"), 0
)


def asked(**changed: object) -> dict[str, Any]:
    return {"since": "7d", "dry_run": True, **changed}


@pytest.fixture
async def operator(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(runtime, key=KEYS["operator"]) as client:
        yield client


@pytest.fixture
async def offline_operator(offline_runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(offline_runtime, key=KEYS["operator"]) as client:
        yield client


async def test_a_run_is_asked_for_once_until_it_is_finished_and_shown_meanwhile(
    operator: httpx.AsyncClient,
) -> None:
    first = await operator.post("/v1/reconcile", json=asked())
    again = await operator.post("/v1/reconcile", json=asked(account="ginger-nl", dry_run=False))

    assert first.status_code == 202
    (run,) = first.json()["data"]
    assert (run["account"], run["state"], run["dry_run"]) == ("ginger-nl", "waiting", True)
    assert (run["asked_by"], run["finished_at"], run["drift"]) == ("operator", None, NOTHING)
    assert (await operator.get(f"/v1/reconciles/{run['id']}")).json() == run
    assert (again.status_code, again.json()["code"]) == (409, "reconcile_unfinished")
    assert (await operator.get("/v1/reconciles")).json() == {"data": [run], "next": None}


async def test_a_run_that_is_asked_for_twice_under_one_key_is_one(
    operator: httpx.AsyncClient,
) -> None:
    twice = [
        await operator.post("/v1/reconcile", json=asked(), headers={"idempotency-key": "night"})
        for _ in range(2)
    ]

    assert [answer.status_code for answer in twice] == [202, 202]
    assert twice[0].json() == twice[1].json()


async def test_runs_are_listed_newest_first_by_page_account_and_state(
    operator: httpx.AsyncClient, runtime: Runtime
) -> None:
    window = {"since": "2026-11-01T00:00:00Z", "until": "2026-11-02T00:00:00Z"}
    for number, changed in enumerate(
        [
            {"started_at": "2026-11-02T00:00:00Z"},
            {"leased_until": "infinity"},
            {},
            {"asked_by": "ops"},
            {"finished_at": "2026-11-03T00:00:00Z", "account": "removed"},
        ]
    ):
        if number == 4:
            await insert(runtime.pool, "accounts", name="removed", provider="ginger")
        row = {"account": "ginger-nl", "asked": "7d", "dry_run": False, **window, **changed}
        await insert(runtime.pool, "reconciles", **row)

    async def states(**query: str) -> list[str]:
        listed = (await operator.get("/v1/reconciles", params=query)).json()
        found = [run["state"] for run in listed["data"]]
        return found + (
            await states(**query | {"cursor": listed["next"]}) if listed["next"] else []
        )

    newest_first = ["finished", "waiting", "stopped", "under_way", "abandoned"]
    assert await states() == await states(limit="2") == newest_first
    assert await states(account="removed") == await states(state="finished") == ["finished"]


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({"account": "gone"}, "account: expected the name of a configured account"),
        ({"since": "soon"}, "since: expected a duration such as 7d or PT15M, or a time"),
        ({"since": "2026-01-01"}, "since: expected a duration such as 7d or PT15M, or a time"),
        ({"since": "9" * 30 + "d"}, "since: expected a duration such as 7d or PT15M, or a time"),
        ({"since": "0001-01-01T00:00:00+14:00"}, "since: expected a duration"),
        ({"since": "2999-01-01T00:00:00Z"}, "since: expected a time that has passed"),
        ({"since": 7}, "since: expected 1 to 40 printable characters"),
        ({"dry_run": "no"}, "dry_run: expected true or false"),
        ({"dry_run": None}, "dry_run: expected true or false"),
        ({"until": "1d"}, "'until': unknown field"),
    ],
)
async def test_what_cannot_be_asked_for_is_named(
    offline_operator: httpx.AsyncClient, changed: dict[str, object], detail: str
) -> None:
    answer = await offline_operator.post("/v1/reconcile", json=asked(**changed))

    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(detail)


async def test_only_an_operator_may_ask(offline: httpx.AsyncClient) -> None:
    answer = await offline.post("/v1/reconcile", json=asked())

    assert answer.status_code == 403
    assert 'this takes the role "operator"' in answer.json()["detail"]


@pytest.mark.parametrize("unknown", ["1", "0", "01", "x", "9" * 18, "9" * 40, "%31%00"])
async def test_an_unknown_run_is_404(api: httpx.AsyncClient, unknown: str) -> None:
    assert (await api.get(f"/v1/reconciles/{unknown}")).status_code == 404
