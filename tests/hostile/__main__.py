"""`python -m tests.hostile`: every attack on a receiver of its own, for some minutes.

Prints a line of counts per attack. Ends with 0 only if each of them holds; of one that does not,
the logs of all processes are kept in a folder that it names.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping

import click

from tests.bench.processes import NotReady
from tests.hostile import addresses, bodies, forged, heads, slow, timing
from tests.hostile.site import Site, prepared
from tests.hostile.told import Told

Attack = Callable[[Site], Iterator[Told]]


def main() -> int:
    """Attack, print what was counted, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--connections", type=int, default=400, help="of each kind of slow sender")
    parser.add_argument("--crowd", type=int, default=4_000, help="slow connections at once")
    parser.add_argument("--forged", type=int, default=10_000, help="ids that are made up")
    parser.add_argument("--genuine", type=int, default=50, help="ids among them that are not")
    parser.add_argument("--samples", type=int, default=20_000, help="of each timing")
    parser.add_argument("--only", action="append", help="repeatable")
    asked = parser.parse_args()
    attacks = _attacks(asked)
    if unknown := {*(asked.only or ())} - attacks.keys():
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(attacks)}")
    failed = sum([_attack(attacks[name], name) for name in asked.only or attacks])
    click.echo(f"failed={failed}")
    return 0 if not failed else 1


def _attack(attack: Attack, name: str) -> int:
    """Attack a receiver of its own; print what was counted, and return how much did not hold."""
    failed = 1  # unless it comes to its end
    with prepared() as site:
        try:
            failed = _held_off(attack, name, site)
        finally:
            if failed:
                click.echo(f"attack={name} logs_kept_in={site.keep_logs(name)}")
    return failed


def _held_off(attack: Attack, name: str, site: Site) -> int:
    failed = 0
    try:
        for told in attack(site):
            click.echo(told)
            failed += not told.holds
    except NotReady as error:
        click.echo(f"FAILS attack={name}: {error}")
        failed += 1
    if uncaught := site.uncaught():
        click.echo(f"FAILS attack={name} uncaught={uncaught}")
        failed += 1
    return failed


def _attacks(asked: argparse.Namespace) -> Mapping[str, Attack]:
    return {
        "slow": lambda site: slow.attack(site, asked.connections),
        "crowd": lambda site: slow.crowd(site, asked.crowd),
        "bodies": bodies.oversized,
        "json": bodies.hostile_json,
        "floods": heads.floods,
        "malformed": heads.malformed,
        "paths": heads.paths,
        "replays": forged.replays,
        "forged": lambda site: forged.forged_ids(site, asked.forged, asked.genuine),
        "addresses": lambda _: addresses.attack(),
        "timing": lambda _: timing.in_process(asked.samples),
        "timing_http": lambda site: timing.over_http(site, asked.samples),
    }


if __name__ == "__main__":
    sys.exit(main())
