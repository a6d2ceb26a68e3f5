"""`settled demo`: the whole story on this machine, without any account at a provider.

Real processes, a real database, five fake providers and a fake ERP: requests are paid, refunded
and charged back while webhooks get lost, doubled, late and out of order. In the end every status
and amount must equal the sandbox's own ledger of money, and the ERP must have been told everything
once and in order.
"""

import asyncio
import signal
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from service.cli.demo_plan import (
    BREAKS,
    FAULTS_DEFAULT,
    READ_FAULTS,
    WEBHOOK_FAULTS,
    Plan,
    parse_faults,
)
from service.cli.exits import ProblemFound

if TYPE_CHECKING:
    from service.cli.demo_processes import Processes

WATCH_SECONDS = 0.25


def _listed(title: str, meanings: Mapping[str, str]) -> str:
    """Return a list for the end of a help page, which keeps its lines as they are."""
    lines = [f"  {name.ljust(20)}{meaning}" for name, meaning in meanings.items()]
    return "\n".join(["\b", title, *lines])


EPILOG = "\n\n".join(
    (
        _listed("What may happen to a webhook:", WEBHOOK_FAULTS),
        _listed("What may happen to a read:", READ_FAULTS),
        _listed("Defects to plant:", BREAKS),
    )
)


def _faults(_context: click.Context, _parameter: click.Parameter, text: str) -> dict[str, float]:
    try:
        return parse_faults(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(epilog=EPILOG)
@click.option("--orders", type=click.IntRange(1, 10_000), default=160, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same stories.")
@click.option(
    "--faults",
    callback=_faults,
    default=FAULTS_DEFAULT,
    show_default=True,
    help="Rates of webhooks and reads that go wrong; what is not named is off.",
)
@click.option("--stay", is_flag=True, help="Leave it running until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")
@click.option(
    "--break",
    "broken",
    type=click.Choice(list(BREAKS)),
    metavar="NAME",
    help="Plant a defect: the demo has to find it and end with 6.",
)
def demo(
    orders: int,
    seed: int,
    faults: dict[str, float],
    stay: bool,
    as_json: bool,
    broken: str | None,
) -> None:
    """Play orders from webhook to ERP, without any account; exit 6 if anything went wrong.

    Every story of every provider is played before any comes again; 160 orders play them all.

    Example: settled demo --orders 500 --faults drop=0.2,duplicate=0.2,reorder=0.2
    """
    from service.cli.configuration import load_settings
    from service.cli.demo_processes import running
    from service.cli.demo_progress import narrator
    from service.cli.demo_report import report_of, show_report
    from service.cli.demo_stage import play
    from service.cli.output import show_object

    started_at = datetime.now(UTC)
    # Told to end, we end as with Ctrl-C: nothing stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = Plan(orders, seed, faults, broken)
    with running(plan, keep_folder=stay) as processes:
        load_settings(processes.folder / "settled.toml")  # It says which, like every verb.
        with narrator(orders) as telling:
            telling.say(f"playing {orders} orders with seed {seed} in {processes.folder}")
            ending = asyncio.run(play(plan, processes, show=telling.show, started_at=started_at))
        if as_json:
            show_object(report_of(ending))
        else:
            show_report(ending)
        if stay:
            _say_where(processes)
            asyncio.run(_stay(processes))
    if ending.failed:
        raise ProblemFound(
            f"does not hold: {', '.join(ending.failed)}; with --stay you can look into it"
        )


def _say_where(processes: "Processes") -> None:
    """Tell where everything is, on stderr: stdout is for the report."""
    for name, value in (
        ("API", f"{processes.product_url}/v1/orders"),
        ("API key", processes.keys.api_key),
        ("sandbox", f"{processes.sandbox_url}/sandbox/stories"),
        ("settings", processes.folder / "settled.toml"),
        ("accounts", ", ".join(account.name for account in processes.accounts)),
        ("try", f"settled trigger ginger-demo refund --sandbox-url {processes.sandbox_url}"),
    ):
        click.echo(f"{name.ljust(10)}{value}", err=True)
    click.echo("Ctrl-C ends it", err=True)


async def _stay(processes: "Processes") -> None:
    """Return when told to end. Raises Unavailable when a process ends before."""
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    while not told.is_set():
        processes.check()
        with suppress(TimeoutError):
            async with asyncio.timeout(WATCH_SECONDS):
                await told.wait()
