"""`settled endpoints`: how the lanes to the ERP are doing; pause, resume or try one."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.cli.acting import load_to_act, reason_option, rung, say_dry, who
from service.cli.completion import complete_endpoints
from service.cli.configuration import config_option, load_settings
from service.cli.database import with_pool
from service.cli.exits import ProblemFound
from service.cli.output import Json, as_text, show_fields, show_object, show_objects, show_table
from service.errors import Malformed, NotFound
from service.settings import Endpoint, Settings

if TYPE_CHECKING:
    from service.flow.intervene import Tried
    from service.storage.database import Pool

COLUMNS = (
    *("name", "kind", "state", "reason", "backlog", "oldest_at"),
    *("delivered_24h", "failed_24h", "p95_ms"),
)


@click.group()
def endpoints() -> None:
    """Look at endpoints, pause and resume them, or try one.

    Example: settled endpoints test erp
    """


@endpoints.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object per line.")
def list_all(config: Path | None, as_json: bool) -> None:
    """List the endpoints: state of the lane, what waits, and the last 24 hours.

    Example: settled endpoints list
    """
    from service.storage.views.endpoints import list_endpoints

    configuration = load_settings(config)
    shown = with_pool(configuration, list_endpoints)
    if as_json:
        show_objects(shown)
    else:
        show_table(COLUMNS, [[as_text(each[name]) for name in COLUMNS] for each in shown])


@endpoints.command()
@config_option
@click.argument("name", metavar="ENDPOINT", shell_complete=complete_endpoints)
@reason_option
@click.option("--dry-run", is_flag=True, help="Show the endpoint; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def pause(config: Path | None, name: str, reason: str | None, dry_run: bool, as_json: bool) -> None:
    """Send nothing to ENDPOINT until it is resumed, restarts or not; exit 5 if there is none.

    Nothing is dropped: what is for it waits.

    Example: settled endpoints pause erp --reason "moving house"
    """
    from service.flow import intervene

    configuration = load_to_act(config)
    named(configuration, name)

    async def pause_and_find(pool: "Pool") -> Json:
        if not dry_run:
            await intervene.pause(pool, endpoint=name, who=who(), reason=reason)
        return await find(pool, name)

    try:
        shown = with_pool(configuration, pause_and_find)
    except Malformed as error:
        raise click.BadParameter(str(error), param_hint="--reason") from error
    show_standing(shown, "paused", dry_run=dry_run, as_json=as_json)


@endpoints.command()
@config_option
@click.argument("name", metavar="ENDPOINT", shell_complete=complete_endpoints)
@reason_option
@click.option("--dry-run", is_flag=True, help="Show the endpoint; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def resume(
    config: Path | None, name: str, reason: str | None, dry_run: bool, as_json: bool
) -> None:
    """Have ENDPOINT drain what waits, whatever had stopped it; exit 5 if there is none.

    In order per request, at one a second and then faster, up to its rate.

    Example: settled endpoints resume erp
    """
    from service.flow import intervene
    from service.nudge import DELIVER

    configuration = load_to_act(config)
    named(configuration, name)
    with rung(configuration, DELIVER) as wake:

        async def resume_and_find(pool: "Pool") -> Json:
            if not dry_run:
                await intervene.resume(pool, endpoint=name, wake=wake, who=who(), reason=reason)
            return await find(pool, name)

        shown = with_pool(configuration, resume_and_find)
    show_standing(shown, "resumed", dry_run=dry_run, as_json=as_json)


@endpoints.command()
@config_option
@click.argument("name", metavar="ENDPOINT", shell_complete=complete_endpoints)
@click.option("--dry-run", is_flag=True, help="Say where it would go; send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def test(config: Path | None, name: str, dry_run: bool, as_json: bool) -> None:
    """Send ENDPOINT one message of type endpoint.test, and tell what it answered.

    Signed like any other, outside the feed, and sent whatever the state of its lane, which it
    leaves as it is. Exit 6 when the answer was not 2xx, 5 when there is no such endpoint.

    Example: settled endpoints test erp
    """
    configuration = load_to_act(config)
    endpoint = named(configuration, name)
    if dry_run:
        say_dry(f"{name} would get one message of type endpoint.test")
        return
    tried = try_it(configuration, endpoint)
    if as_json:
        show_object(tried.as_json())
    else:
        show_fields(tried.as_json())
    if not tried.is_fine:
        raise ProblemFound(f"{name} did not answer 2xx: {tried.outcome.code}")


def try_it(configuration: Settings, endpoint: Endpoint) -> "Tried":
    from service.cli.database import postgres_url, refuse_pending
    from service.flow.intervene import try_endpoint
    from service.runtime import deliver_parts, open_runtime
    from service.storage.database import pending

    refuse_pending(pending(postgres_url(configuration)))

    async def send() -> "Tried":
        async with open_runtime(configuration, role="command") as runtime:
            parts = deliver_parts(runtime, stopping=asyncio.Event())
            return await try_endpoint(parts, endpoint=endpoint, who=who())

    return asyncio.run(send())


def named(configuration: Settings, name: str) -> Endpoint:
    """Return the configured endpoint of that name. Raises NotFound."""
    for endpoint in configuration.endpoints:
        if endpoint.name == name:
            return endpoint
    known = ", ".join(endpoint.name for endpoint in configuration.endpoints) or "none"
    raise NotFound(f"no endpoint {name!r} in {configuration.source}; there are: {known}")


async def find(pool: "Pool", name: str) -> Json:
    """Return how an endpoint stands. Raises NotFound where the service never started with it."""
    from service.storage.views.endpoints import find_endpoint

    found = await find_endpoint(pool, name)
    if found is None:
        raise NotFound(f"no endpoint {name!r} yet: the service has not started with it")
    return found


def show_standing(endpoint: Json, done: str, *, dry_run: bool, as_json: bool) -> None:
    if dry_run:
        say_dry(f"{endpoint['name']} would be {done}")
    if as_json:
        show_object(endpoint)
    else:
        show_fields(endpoint)
