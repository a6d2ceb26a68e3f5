"""`settled evidence`: a request's history as a pack, and the check of one without any of us."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click

from service.cli.configuration import config_option, load_settings, write_owner_only
from service.cli.database import with_pool
from service.cli.exits import NotConfirmed, ProblemFound
from service.cli.output import as_text, show_fields, show_object
from service.domain.evidence import Checked, check_pack, write_pack
from service.errors import NotFound

# So that a pack that was damaged everywhere still ends in a message; --json names all.
PROBLEMS_NAMED = 10


class PackGroup(click.Group):
    """Takes what is no verb of its own as the id of a request to write a pack about."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["write", *args]
        return super().parse_args(ctx, args)


@click.group(cls=PackGroup, subcommand_metavar="ID | verify FILE")
def evidence() -> None:
    """Write the history of a request as a pack that anyone can check, or check one.

    `settled evidence ID` is short for `settled evidence write ID`.

    Example: settled evidence prq_01m9x0c5n8qk4v7t2w6y3z1a0b --out INV-1043.jsonl
    """


@evidence.command()
@config_option
@click.argument("request_id", metavar="ID")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write to this new file, else to stdout."
)
@click.option("--raw", is_flag=True, help="With answers and bodies: they hold names and IBANs.")
@click.option("--yes", is_flag=True, help="Confirms --raw.")
@click.option("--dry-run", is_flag=True, help="Tell what it would hold; write nothing.")
def write(
    config: Path | None, request_id: str, out: Path | None, raw: bool, yes: bool, dry_run: bool
) -> None:
    """Write all that is kept of the request with our id ID (prq_...) as one pack of JSON lines.

    Its transitions and those of its order, the reads and events behind them and the notifications
    after them, linked by hashes. What is no longer kept is named in it. Write down the seal that
    is shown: it stands for the whole pack. Only its owner can read the file.

    Example: settled evidence prq_01m9x0c5n8qk4v7t2w6y3z1a0b --out INV-1043.jsonl
    """
    from service.storage.views.evidence import read_evidence

    if raw and not yes:
        raise NotConfirmed("--raw puts names and bank accounts into the pack; --yes confirms it")
    configuration = load_settings(config)
    at = datetime.now(UTC)
    rows = with_pool(
        configuration, lambda pool: read_evidence(pool, request_id, with_raw=raw, at=at)
    )
    if rows is None:
        raise NotFound(f"no request {request_id!r}")
    pack = b"".join(write_pack(rows))
    if not dry_run:
        _hand_over(pack, out)
    checked = check_pack(pack)
    done = "would write" if dry_run else "wrote"
    click.echo(f"{done} {sum(checked.counts.values())} rows, seal {checked.seal}", err=True)
    _tell_missing(checked)
    _refuse(checked.problems)


@evidence.command()
@click.argument("file", type=click.File("rb"))
@click.option("--seal", help="The seal that was shown when the pack was written.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def verify(file: BinaryIO, seal: str | None, as_json: bool) -> None:
    """Check the pack in FILE ("-" is stdin), offline; exit 6 if it is not as it was written.

    Checked are every byte of it, sequence and chain of the transitions, answers and bodies
    against their hashes, and what the ERP was told against what was recorded. A pack that
    was written anew as a whole is told by its --seal alone. What retention dropped is no fault: of
    a body or an answer its hash is left, and a history may begin later, where the pack says so.

    Example: settled evidence verify INV-1043.jsonl
    """
    checked = check_pack(file.read())
    problems = [str(problem) for problem in checked.problems]
    if seal is not None and seal.strip().lower() != checked.seal:
        problems.append(f"another pack: its seal is {checked.seal or 'missing'}")
    found = {
        "valid": not problems,
        "request_id": checked.request_id,
        "rows": checked.counts,
        "redacted": list(checked.redacted),
        "kept_from": dict(checked.cut),
        "seal": checked.seal,
        "problems": problems,
    }
    if as_json:
        show_object(found)
    elif not problems:
        shown = {name: value for name, value in found.items() if name not in ("valid", "problems")}
        show_fields(shown)
        click.echo("nothing was changed since this pack was written")
    _refuse(problems)


def _hand_over(pack: bytes, path: Path | None) -> None:
    if path is None:
        sys.stdout.buffer.write(pack)
        return
    try:
        write_owner_only(path, pack.decode(), replace=False)
    except FileExistsError:
        raise NotConfirmed(f"{path} is there already, and no pack is written over") from None
    except OSError as error:
        raise click.FileError(str(path), hint=error.strerror) from error


def _tell_missing(checked: Checked) -> None:
    names = ", ".join(checked.redacted)
    if names:
        click.echo(f"no longer kept, so that only hashes are left: {names}", err=True)
    for subject, sequence in checked.cut.items():
        click.echo(f"{subject} is kept from sequence {sequence}; before, it is dropped", err=True)


def _refuse(problems: Sequence[object]) -> None:
    """Raise ProblemFound that names the rows that are not as they have to be, at most ten."""
    if not problems:
        return
    named = [as_text(str(problem)) for problem in problems[:PROBLEMS_NAMED]]
    more = len(problems) - len(named)
    raise ProblemFound("; ".join(named) + (f"; and {more} more" if more else ""))
