"""`settled status`: how things stand, on one screen, with what needs attention at the top."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.cli.accounts import health_of
from service.cli.configuration import config_option, load_settings
from service.cli.database import with_pool
from service.cli.doctor import as_object
from service.cli.output import Json, as_text, show_fields, show_object, show_table
from service.settings import Settings

if TYPE_CHECKING:
    from service.storage.database import Pool
    from service.storage.views.standing import Standing, Waiting

ENDPOINT_COLUMNS = ("endpoint", "state", "backlog", "oldest_at", "failed_24h", "p95_ms")
ACCOUNT_COLUMNS = ("account", "state", "last_event_at", "last_read_at", "complete_up_to", "parked")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the database tells of how things stand."""

    standing: "Standing"
    endpoints: Sequence[Json]
    accounts: Sequence[Json]


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def status(config: Path | None, as_json: bool) -> None:
    """Show how things stand: what needs attention, then processes, backlog, lanes and accounts.

    Asks the database alone, and costs no call. With embedded servers `settled up` has to be
    running, else exit 4. Exit 0 whatever it shows; `settled doctor` judges, and looks further.

    Example: settled status
    """
    from service.runtime import connect_accounts

    configuration = load_settings(config)
    connected = connect_accounts(configuration)

    async def look(pool: "Pool") -> Seen:
        from service.storage.views.endpoints import list_endpoints
        from service.storage.views.standing import read_standing

        accounts = await health_of(pool, configuration, connected)
        return Seen(await read_standing(pool), await list_endpoints(pool), accounts)

    shown = summary(configuration, with_pool(configuration, look))
    if as_json:
        show_object(shown)
    else:
        show_screen(shown)


def summary(configuration: Settings, seen: Seen) -> Json:
    """Return how things stand as one object; needs_attention is empty when all is well."""
    from service.domain.notification import time_text
    from service.flow.diagnose import judge_accounts, judge_lanes, judge_polling, judge_standing

    judged = [
        *judge_standing(seen.standing),
        *judge_lanes(seen.endpoints),
        *judge_accounts(seen.accounts),
        *judge_polling(seen.accounts),
    ]
    return {
        "mode": configuration.settled.mode,
        "configuration": configuration.source,
        "needs_attention": [as_object(one) for one in judged if one.is_wrong],
        "processes": {
            "workers": seen.standing.workers,
            "beat": bool(seen.standing.connected["beat"]),
            "web": bool(seen.standing.connected["web"]),
            "here": processes_here(configuration.settled.data_dir),
        },
        "backlog": {
            "reads": waiting(seen.standing.due),
            "deliveries": waiting(seen.standing.deliveries),
            "parked": seen.standing.parked,
            "dead": seen.standing.dead,
        },
        "last": {
            "event_at": newest(seen.accounts, "last_event_at"),
            "read_at": newest(seen.accounts, "last_read_at"),
            "delivered_at": time_text(seen.standing.delivered_at),
        },
        "endpoints": list(seen.endpoints),
        "accounts": list(seen.accounts),
    }


def waiting(work: "Waiting") -> dict[str, Any]:
    return {"waiting": work.count, "oldest_seconds": round(work.oldest_seconds, 1)}


def newest(accounts: Sequence[Json], field: str) -> str | None:
    """Return the newest of the accounts' times, which are text and sort as times do."""
    return max((account[field] for account in accounts if account[field]), default=None)


def processes_here(data_dir: Path) -> list[dict[str, Any]]:
    """Return the processes of a `settled up` on this data directory; none where none runs.

    One that was killed leaves its list behind, of processes that are no more.
    """
    try:
        found = json.loads((data_dir / "processes.json").read_text())
    except FileNotFoundError:
        return []
    return [process for process in found if Path(f"/proc/{process['pid']}").exists()]


def show_screen(shown: Json) -> None:
    """Print the summary for a person."""
    if shown["needs_attention"]:
        click.echo("NEEDS ATTENTION")
        for one in shown["needs_attention"]:
            click.echo(as_text("  {part}, {check}: {detail}; {remedy}".format_map(one)))
    else:
        click.echo("nothing needs attention")
    click.echo()
    show_fields({**running(shown["processes"]), **shown_backlog(shown["backlog"]), **shown["last"]})
    for columns, key in ((ENDPOINT_COLUMNS, "endpoints"), (ACCOUNT_COLUMNS, "accounts")):
        if shown[key]:
            click.echo()
            show_table(columns, [row_of(each, columns) for each in shown[key]])


def running(processes: Mapping[str, Any]) -> dict[str, Any]:
    here = [f"{process['role']} {process['pid']}" for process in processes["here"]]
    return {
        "workers": processes["workers"],
        "beat": "connected" if processes["beat"] else "none",
        "web": "connected" if processes["web"] else "none",
        **({"up": ", ".join(here)} if here else {}),
    }


def shown_backlog(backlog: Mapping[str, Any]) -> dict[str, Any]:
    texts = {
        name: f"{work['waiting']} wait, the oldest for {work['oldest_seconds']:.0f} s"
        if work["waiting"]
        else "none wait"
        for name, work in backlog.items()
        if name in ("reads", "deliveries")
    }
    return {**texts, "parked": backlog["parked"], "dead": backlog["dead"]}


def row_of(item: Json, columns: Sequence[str]) -> list[str]:
    """Return an endpoint or an account as a row; its name stands in the first column."""
    return [as_text(item["name"]), *(as_text(item[column]) for column in columns[1:])]
