"""`settled sandbox` runs the fake providers and ERP; `settled trigger` plays a story there."""

import json
from pathlib import Path

import click

from service.cli.acting import say_dry
from service.cli.completion import complete_accounts
from service.errors import NotFound, Unavailable

SANDBOX_URL = "http://127.0.0.1:9000"


@click.command()
@click.option("--listen", default="127.0.0.1:9000", show_default=True, metavar="HOST:PORT")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Open the accounts of this configuration whose api_base leads here.",
)
def sandbox(listen: str, config: Path | None) -> None:
    """Run the fake providers and the fake ERP, scriptable over HTTP.

    With --config the accounts that point here are open from the start, and their webhooks go to
    where the configuration listens; an endpoint with the url http://HOST:PORT/erp/hooks is the
    fake ERP.

    Example: settled sandbox --config settled.toml
    """
    from service.cli.configuration import load_settings
    from service.cli.sandbox_accounts import accounts_at, erp_secrets_at
    from service.sandbox.server import serve

    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter("expected HOST:PORT", param_hint="--listen")
    settings = load_settings(config) if config else None
    accounts = accounts_at(settings, int(port)) if settings else []
    for account in accounts:
        click.echo(f"account {account['name']} at {account['provider']}", err=True)
    try:
        serve(
            host.strip("[]"),
            int(port),
            announce=click.echo,
            accounts=accounts,
            erp_secrets=erp_secrets_at(settings, int(port)) if settings else [],
        )
    except OSError as error:
        raise click.UsageError(f"cannot listen on {listen}: {error.strerror}") from error


@click.command()
@click.argument("account", shell_complete=complete_accounts)
@click.argument("story")
@click.option("--sandbox-url", default=SANDBOX_URL, show_default=True)
@click.option("--request", "provider_id", help="Play it on this request, by the provider's id.")
@click.option("--reference", help="The ERP's reference; a new one unless given.")
@click.option("--amount", type=click.IntRange(1), help="In minor units; 4000 unless given.")
@click.option(
    "--dry-run", is_flag=True, help="Say what would be asked of the sandbox; ask nothing."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def trigger(
    account: str,
    story: str,
    sandbox_url: str,
    provider_id: str | None,
    reference: str | None,
    amount: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Play STORY for ACCOUNT in the sandbox: paid, expired, refund, chargeback, ...

    Example: settled trigger ginger-demo refund --sandbox-url http://127.0.0.1:9000
    """
    from urllib.parse import quote

    import httpx

    path = f"/sandbox/accounts/{quote(account, safe='')}/stories/{quote(story, safe='')}"
    asked = {"provider_id": provider_id, "reference": reference, "amount": amount}
    body = {name: value for name, value in asked.items() if value is not None}
    url = sandbox_url.rstrip("/") + path
    if dry_run:
        say_dry(f"POST {url} with {json.dumps(body)}")
        return
    try:
        answer = httpx.post(url, json=body, timeout=10)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise Unavailable(f"no sandbox at {sandbox_url}: {error}") from error
    if answer.status_code == 404:
        raise NotFound(f"the sandbox says: {answer.text}")
    if answer.is_error:
        raise click.ClickException(f"the sandbox answered {answer.status_code}: {answer.text}")
    played = answer.json()
    click.echo(answer.text if as_json else f"{played['provider_id']} {played['reference']}")
