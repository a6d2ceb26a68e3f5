"""`settled accounts`: how each account at a provider is doing, and whether it is set up right."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from service.cli.completion import complete_accounts
from service.cli.configuration import config_option, load_settings
from service.cli.database import with_pool
from service.cli.exits import ProblemFound
from service.cli.output import Json, as_text, show_objects, show_table
from service.errors import NotFound, Unavailable
from service.settings import Settings

if TYPE_CHECKING:
    from service.fetch import ConnectedAccount
    from service.flow.check import Checked
    from service.storage.database import Pool

COLUMNS = (
    *("name", "provider", "state", "reason", "limit", "used", "planned", "possible", "stretched"),
    *("last_event_at", "last_read_at", "complete_up_to", "parked"),
)
CHECK_COLUMNS = ("account", "check", "result", "detail", "remedy")
RESULTS = {True: "ok", False: "NOT OK", None: "cannot tell"}


@click.group()
def accounts() -> None:
    """Look at accounts, or check them.

    Example: settled accounts check
    """


@accounts.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object per line.")
def list_all(config: Path | None, as_json: bool) -> None:
    """List the accounts: health, call budget, and up to when each is complete.

    used, planned and possible are calls in one window of the limit. Planned is what we would
    like to ask without being told, possible what its share of the budget carries.

    Example: settled accounts list
    """
    from service.runtime import connect_accounts

    configuration = load_settings(config)
    connected = connect_accounts(configuration)
    shown = with_pool(configuration, lambda pool: health_of(pool, configuration, connected))
    if as_json:
        show_objects(shown)
    else:
        show_table(COLUMNS, [row_of(account) for account in shown])


@accounts.command()
@config_option
@click.argument("name", metavar="[ACCOUNT]", required=False, shell_complete=complete_accounts)
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object per line.")
def check(config: Path | None, name: str | None, as_json: bool) -> None:
    """Try ACCOUNT, or all accounts, live at the provider, and say what to mend.

    Looks at login, permission, webhooks where the provider's API tells, clock and call budget.
    Costs a few calls of each account's budget. Needs the database: with an embedded one,
    `settled up` has to be running.

    Exit 0 when nothing is wrong, 6 when something is, 4 when nothing worse is found than that a
    provider, or the database, cannot be reached; 5 for an unknown account.

    Example: settled accounts check ginger-nl
    """
    from service.flow.check import CheckParts, check_accounts
    from service.runtime import connect_accounts, utc_now

    configuration = load_settings(config)
    connected = connect_accounts(configuration)
    if name is not None and name not in connected:
        known = ", ".join(connected) or "none"
        raise NotFound(f"no account {name!r} in {configuration.source}; there are: {known}")
    chosen = [connected[name]] if name is not None else list(connected.values())

    async def try_them(pool: "Pool") -> "list[Checked]":
        shown = await health_of(pool, configuration, connected)
        health = {account["name"]: account for account in shown}
        parts = CheckParts(pool, connected, configuration.settled.base_url, utc_now)
        return await check_accounts(chosen, health, parts=parts)

    found = with_pool(configuration, try_them)
    if as_json:
        show_objects(map(as_object, found))
    else:
        show_table(CHECK_COLUMNS, [row for checked in found for row in rows_of(checked)])
    refuse(found)


async def health_of(
    pool: "Pool", configuration: Settings, connected: "dict[str, ConnectedAccount]"
) -> Sequence[Json]:
    """Return the objects of GET /v1/accounts."""
    from service.storage.views.accounts import Configured, list_accounts

    mode = configuration.settled.mode
    return await list_accounts(
        pool,
        [
            Configured(account.name, account.section.provider, mode, account.limit, account.budget)
            for account in connected.values()
        ],
    )


def row_of(account: Json) -> list[str]:
    """Return an account as a row, with its limit as a configuration may have it."""
    budget = account["budget"]
    flat = {**account, **budget, "limit": f"{budget['limit']}/{budget['seconds']:g}s"}
    return [as_text(flat[column]) for column in COLUMNS]


def rows_of(checked: "Checked") -> list[list[str]]:
    return [
        [checked.account, one.check, RESULTS[one.ok], as_text(one.detail), as_text(one.remedy)]
        for one in checked.findings
    ]


def as_object(checked: "Checked") -> dict[str, Any]:
    """Return what was found at an account as one object."""
    return {
        "account": checked.account,
        "provider": checked.provider,
        "ok": checked.ok,
        "findings": [
            {"check": one.check, "ok": one.ok, "detail": one.detail, "remedy": one.remedy}
            for one in checked.findings
        ],
    }


def refuse(found: "Sequence[Checked]") -> None:
    """Raise ProblemFound when something is wrong, else Unavailable when a provider is away."""
    wrong = [checked.account for checked in found if checked.reached and not checked.ok]
    away = [checked.account for checked in found if not checked.reached]
    if wrong:
        raise ProblemFound(f"something is wrong with {', '.join(wrong + away)}")
    if away:
        raise Unavailable(f"could not be tried: {', '.join(away)}")
