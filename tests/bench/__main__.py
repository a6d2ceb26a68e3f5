"""`python -m tests.bench`: about nine minutes; `--quick` half of it; `--only NAME` as often."""

import sys

import click

from service.errors import SettledError
from tests.bench import calls, deliver, end_to_end, isolation, providers, receive, sync
from tests.bench.processes import NotReady
from tests.bench.report import FULL, QUICK, CountsDiffer, say_machine
from tests.bench.site import prepared

NAMES = (
    *receive.NAMES,
    *end_to_end.BURST,
    *end_to_end.LATENCY,
    *sync.NAMES,
    *deliver.NAMES,
    *calls.NAMES,
    *providers.NAMES,
    *isolation.NAMES,
)


@click.command()
@click.option("--quick", is_flag=True, help="Fewer repetitions, shorter bursts.")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Measure this; repeatable.")
def main(quick: bool, only: tuple[str, ...]) -> None:
    """Measure ours against references in the same run; print one `ratio` line for each."""
    scale = QUICK if quick else FULL
    wanted = only or NAMES
    with prepared() as site:
        say_machine(site.urls)
        try:
            if not {*receive.NAMES}.isdisjoint(wanted):
                receive.measure(site, scale, wanted)
            if not {*end_to_end.BURST, *end_to_end.LATENCY}.isdisjoint(wanted):
                end_to_end.measure(site, scale, wanted)
            if not {*sync.NAMES}.isdisjoint(wanted):
                sync.measure(site, scale)
            if not {*deliver.NAMES}.isdisjoint(wanted):
                deliver.measure(site, scale)
            if not {*calls.NAMES}.isdisjoint(wanted):
                calls.measure(site, scale)
            if not {*providers.NAMES}.isdisjoint(wanted):
                providers.measure(site, scale, wanted)
            if not {*isolation.NAMES}.isdisjoint(wanted):
                isolation.measure(site, scale)
        except (CountsDiffer, NotReady, SettledError) as error:
            click.echo(f"error: {error}", err=True)
            click.echo(site.log.read_text(errors="replace")[-4000:], err=True)
            sys.exit(1)


if __name__ == "__main__":
    main()
