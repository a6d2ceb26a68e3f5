"""`settled doctor`: looks at everything that settled stands on, and says what to mend."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.cli.accounts import RESULTS, health_of
from service.cli.acting import load_to_act
from service.cli.configuration import config_option
from service.cli.exits import ProblemFound
from service.cli.output import as_text, show_object, show_table
from service.errors import Misconfigured, Unavailable
from service.settings import Settings

if TYPE_CHECKING:
    from service.fetch import ConnectedAccount
    from service.flow.diagnose import Diagnosis
    from service.storage.database import Pool

COLUMNS = ("part", "check", "result", "detail")

CONNECTIONS_MAX = 2


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def doctor(config: Path | None, as_json: bool) -> None:
    """Check everything that settled stands on, and say of each problem what to do.

    Configuration; PostgreSQL with its migrations, durability, partitions and clock; Redis; each
    provider's login and clock, for a few calls of the account's budget; each endpoint, by a HEAD
    without a message; that workers, beat and web run; what waits, and what waits for a person.
    Changes no request and sends no notification.

    Exit 0 when nothing is wrong, 6 when something is, 4 when nothing worse is found than that
    something cannot be reached, 3 when the configuration is invalid. Embedded servers that were
    never started are no fault.

    Example: settled doctor --json
    """
    from service.flow.diagnose import wrong

    try:
        configuration = load_to_act(config)
        connected = checked_as_at_a_start(configuration)
    except Misconfigured as error:
        if as_json:
            remedy = "correct what it names; `settled init` writes an example"
            show([wrong("configuration", "valid", str(error), remedy)], as_json=True)
        raise
    found = asyncio.run(examine(configuration, connected))
    show(found, as_json=as_json)
    refuse(found)


def checked_as_at_a_start(configuration: Settings) -> "dict[str, ConnectedAccount]":
    """Return the accounts, with all looked at that a start looks at. Raises Misconfigured."""
    from service.erp import recipes_of
    from service.runtime import connect_accounts, endpoint_certificates

    recipes_of(configuration)
    endpoint_certificates(configuration)
    return connect_accounts(configuration)


@dataclass(frozen=True, slots=True)
class Located:
    """Where the servers are; None for an embedded one that does not run, which a finding tells."""

    postgres: str | None
    redis: str | None
    missing: "tuple[Diagnosis, ...]"


async def examine(
    configuration: Settings, connected: "dict[str, ConnectedAccount]"
) -> "list[Diagnosis]":
    """Look at everything and return what was found; nothing that is away is raised."""
    from service.flow.diagnose import good

    located = locate(configuration)
    counted = f"{len(connected)} accounts, {len(configuration.endpoints)} endpoints"
    database, redis, endpoints = await asyncio.gather(
        look_at_database(configuration, connected, located.postgres),
        look_at_redis(located.redis),
        look_at_endpoints(configuration, located),
    )
    return [
        good("configuration", "valid", f"{configuration.source}: {counted}"),
        *located.missing,
        *database,
        *redis,
        *endpoints,
    ]


def locate(configuration: Settings) -> Located:
    """Return where PostgreSQL and Redis are: configured, or embedded and started elsewhere."""
    from service import embedded
    from service.flow.diagnose import away, unknown

    data_dir = configuration.settled.data_dir
    try:
        running = embedded.urls(data_dir)
    except Unavailable:
        running = {}
    urls, missing = {}, []
    for part, role, server in (
        ("database", "postgres", configuration.database),
        ("redis", "redis", configuration.redis),
    ):
        urls[role] = server.url.reveal() if server.url else running.get(role)
        if urls[role] is None and (data_dir / role).exists():
            missing.append(away(part, "embedded, and not running", "start `settled up`"))
        elif urls[role] is None:
            told = "embedded, and never started yet"
            missing.append(unknown(part, "reachable", told, "`settled up` starts it"))
    return Located(urls["postgres"], urls["redis"], tuple(missing))


async def look_at_database(
    configuration: Settings, connected: "dict[str, ConnectedAccount]", url: str | None
) -> "list[Diagnosis]":
    """Look at PostgreSQL and, where it is migrated, at all that only it can tell."""
    from service.flow.diagnose import away, judge_migrations, judge_server, unknown
    from service.runtime import utc_now
    from service.storage.database import pending, pool_of
    from service.storage.views.standing import read_server

    untried = [
        unknown(f"account {name}", "login", "not tried: it takes the database", "mend that first")
        for name in connected
    ]
    if url is None:
        return untried
    try:
        missing = await asyncio.to_thread(pending, url)
        async with pool_of(url, application="command", connections_max=CONNECTIONS_MAX) as pool:
            before = utc_now()
            server = await read_server(pool)
            middle = before + (utc_now() - before) / 2
            found = [*judge_server(server, now=middle), judge_migrations(missing)]
            rest = untried if missing else await look_inside(configuration, connected, pool)
            return [*found, *rest]
    except Unavailable as error:
        remedy = "see that PostgreSQL runs, and that [database] names it, its user and its password"
        return [away("database", error.detail.partition("\n")[0], remedy), *untried]


async def look_inside(
    configuration: Settings, connected: "dict[str, ConnectedAccount]", pool: "Pool"
) -> "list[Diagnosis]":
    """Look at what runs and waits, and try every account. Raises Unavailable."""
    from service.flow.check import CheckParts, check_accounts
    from service.flow.diagnose import Diagnosis, judge_accounts, judge_lanes, judge_standing
    from service.runtime import utc_now
    from service.storage.views.endpoints import list_endpoints
    from service.storage.views.standing import read_standing

    found = judge_standing(await read_standing(pool))
    found += judge_lanes(await list_endpoints(pool))
    health = {one["name"]: one for one in await health_of(pool, configuration, connected)}
    parts = CheckParts(pool, connected, configuration.settled.base_url, utc_now)
    for checked in await check_accounts(list(connected.values()), health, parts=parts):
        part = f"account {checked.account}"
        found += [Diagnosis(part, one, away=not checked.reached) for one in checked.findings]
    # Asked again: the check itself ends a pause, or begins one.
    return [*found, *judge_accounts(await health_of(pool, configuration, connected))]


async def look_at_redis(url: str | None) -> "list[Diagnosis]":
    from service.flow.diagnose import away, good

    if url is None:
        return []
    if await asyncio.to_thread(redis_answers, url):
        return [good("redis", "reachable", "answers")]
    remedy = "see that Redis runs, and that [redis] names it; meanwhile beat works at a low rate"
    return [away("redis", "does not answer", remedy)]


def redis_answers(url: str) -> bool:
    from service.nudge import Bell

    with closing(Bell(url)) as bell:
        return bell.answers()


async def look_at_endpoints(configuration: Settings, located: Located) -> "list[Diagnosis]":
    """Try every endpoint over the road that messages take, without sending one."""
    from service.flow.reach import ReachParts, reach
    from service.runtime import Urls, endpoint_certificates, server_addresses
    from service.wire import Wire

    urls = Urls(located.postgres or "", located.redis or "")
    wires = {
        False: Wire(check_addresses=True, extra_denied=await server_addresses(urls)),
        True: Wire(check_addresses=False),
    }
    tls = endpoint_certificates(configuration)
    parts = ReachParts(wires, tls, redis_answers, located.redis)
    async with AsyncExitStack() as stack:
        for wire in wires.values():
            stack.push_async_callback(wire.aclose)
        tried = (reach(endpoint, parts=parts) for endpoint in configuration.endpoints)
        return list(await asyncio.gather(*tried))


def show(found: "Sequence[Diagnosis]", *, as_json: bool) -> None:
    """Print what was found: one object, or a table and then a line with each remedy."""
    if as_json:
        findings = [as_object(one) for one in found]
        show_object({"ok": not any(one.is_wrong for one in found), "findings": findings})
        return
    cells = [(one.part, one.finding.check, RESULTS[one.finding.ok]) for one in found]
    details = [one.finding.detail for one in found]
    show_table(COLUMNS, [[*row, detail] for row, detail in zip(cells, details, strict=True)])
    for result in (None, False):
        for one in found:
            if one.finding.ok is result:
                remedy = as_text(one.finding.remedy)
                click.echo(f"{RESULTS[result]}: {one.part}, {one.finding.check}: {remedy}")


def as_object(one: "Diagnosis") -> dict[str, Any]:
    finding = one.finding
    return {
        "part": one.part,
        "check": finding.check,
        "ok": finding.ok,
        "away": one.away,
        "detail": finding.detail,
        "remedy": finding.remedy,
    }


def refuse(found: "Sequence[Diagnosis]") -> None:
    """Raise ProblemFound when something is wrong, else Unavailable when something is away."""
    wrong = [one for one in found if one.is_wrong]
    if any(not one.away for one in wrong):
        raise ProblemFound(f"{len(wrong)} not ok: {named(wrong)}")
    if wrong:
        raise Unavailable(f"cannot be reached: {named(wrong)}")


def named(found: "Sequence[Diagnosis]") -> str:
    return ", ".join(dict.fromkeys(one.part for one in found))
