"""Alive, ready, and the gauges."""

from dataclasses import replace

from service import embedded
from service.nudge import Bell
from service.runtime import Runtime, introduce, open_runtime
from tests.storage.rows import AT, insert
from tests.web.conftest import KEYS, client_of, settings_of


async def test_alive_takes_no_key_and_no_database(offline_runtime: Runtime) -> None:
    async with client_of(offline_runtime, key=None) as anyone:
        response = await anyone.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "alive"})


async def test_ready_is_200_when_everything_is_fine(
    runtime: Runtime, servers: embedded.Urls
) -> None:
    bell = Bell(servers.redis)

    async with client_of(replace(runtime, bell=bell), key=None) as anyone:
        response = await anyone.get("/readyz")
    bell.close()

    assert response.status_code == 200
    assert response.json() == {
        "status": "ready", "database": "ok", "migrations": "ok", "broker": "ok",
    }  # fmt: skip


async def test_not_ready_names_the_broker_that_is_away(runtime: Runtime) -> None:
    async with client_of(runtime, key=None) as anyone:
        response = await anyone.get("/readyz")

    assert (response.status_code, response.json()["code"]) == (503, "not_ready")
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.json()["broker"], response.json()["database"]) == ("away", "ok")


async def test_not_ready_names_the_migrations_that_are_missing(runtime: Runtime) -> None:
    async with runtime.pool.connection() as connection:
        await connection.execute("delete from migrations")

    async with client_of(runtime, key=None) as anyone:
        response = await anyone.get("/readyz")

    assert response.json()["migrations"] == "pending"


async def test_not_ready_names_the_database_that_is_away(offline_runtime: Runtime) -> None:
    async with client_of(offline_runtime, key=None) as anyone:
        response = await anyone.get("/readyz")

    assert (response.status_code, response.json()["database"]) == (503, "away")


async def test_metrics_tell_how_things_stand_now(runtime: Runtime) -> None:
    await insert(runtime.pool, "due", account="ginger-nl", kind="order", provider_id="a", due_at=AT)

    async with client_of(runtime, key=None) as anyone:
        response = await anyone.get("/metrics")

    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'settled_due_requests{account="ginger-nl"} 1.0' in response.text
    assert 'settled_account_state{account="ginger-nl",state="ok"} 1.0' in response.text
    assert 'settled_deliveries_waiting{endpoint="erp"} 0.0' in response.text
    assert "settled_database_up 1.0" in response.text


async def test_metrics_are_told_without_a_database(offline_runtime: Runtime) -> None:
    async with client_of(offline_runtime, key=None) as anyone:
        response = await anyone.get("/metrics")

    assert response.status_code == 200
    assert "settled_database_up 0.0" in response.text


async def test_metrics_take_a_key_where_the_configuration_says_so(database_url: str) -> None:
    settings = settings_of(database_url, metrics_public=False)
    async with open_runtime(settings, role="worker") as closed:
        await introduce(closed)
        async with client_of(closed, key=None) as anyone:
            refused = await anyone.get("/metrics")
        async with client_of(closed, key=KEYS["viewer"]) as viewer:
            shown = await viewer.get("/metrics")

    assert (refused.status_code, shown.status_code) == (401, 200)
