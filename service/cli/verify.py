"""`settled verify`: checks a notification's signature offline, with what was received."""

import json
import re
from datetime import UTC, datetime
from typing import BinaryIO

import click

from service.cli.exits import ProblemFound
from service.domain.signature import ID_HEADER, CheckSeal, key_of
from service.domain.signature import verify as is_signed
from service.ed25519 import PUBLIC_PREFIX, check_of
from service.settings import parse_duration


@click.command()
@click.option(
    "--secret-file",
    "secret_files",
    type=click.File("rb"),
    required=True,
    multiple=True,
    help="File with the whsec_ secret or the whpk_ public key; repeat it during a rotation.",
)
@click.option(
    "--headers",
    "header_file",
    type=click.File("rb"),
    required=True,
    help="File with the headers as received, one `name: value` on each line.",
)
@click.option(
    "--body",
    "body_file",
    type=click.File("rb"),
    required=True,
    help="File with the body as received, byte for byte.",
)
@click.option("--at", "at_text", help="When it was received, RFC 3339 or seconds; else now.")
@click.option("--tolerance", default="5m", show_default=True, help="How far its clock may differ.")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def verify(
    secret_files: tuple[BinaryIO, ...],
    header_file: BinaryIO,
    body_file: BinaryIO,
    at_text: str | None,
    tolerance: str,
    as_json: bool,
) -> None:
    """Check that we signed a notification; exit 6 if not.

    Example: settled verify --secret-file secret --headers headers --body body --at 1764000000
    """
    headers = parse_headers(header_file.read())
    at = parse_time(at_text, "--at") if at_text else datetime.now(UTC)
    secrets = [parse_secret(file) for file in secret_files]
    valid = is_signed(
        [secret for secret in secrets if isinstance(secret, bytes)],
        seals=[secret for secret in secrets if not isinstance(secret, bytes)],
        headers=headers,
        body=body_file.read(),
        now=int(at.timestamp()),
        tolerance_seconds=parse_tolerance(tolerance),
    )
    found = {
        "valid": valid,
        "id": dict(headers).get(ID_HEADER),
        "checked_at": at.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    if as_json:
        click.echo(json.dumps(found))
    elif valid:
        click.echo(f"good signature of {found['id']}")
    if not valid:
        raise ProblemFound("bad signature: not from us, changed on its way, or not of that time")


def parse_headers(text: bytes) -> list[tuple[str, str]]:
    """Return the (name, value) pairs of lines `name: value`, names in lower case.

    Raises click.BadParameter for any other line; empty ones do not count.
    """
    pairs = []
    for line in text.decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if line.strip() and not colon:
            raise click.BadParameter("expected lines `name: value`", param_hint="--headers")
        if colon:
            pairs.append((name.strip().lower(), value.strip()))
    return pairs


def parse_secret(file: BinaryIO) -> bytes | CheckSeal:
    """Return the key in a secret file, or what checks with the public key in it.

    Raises click.BadParameter, which does not show it.
    """
    try:
        text = file.read().decode("ascii").strip()
        return check_of(text) if text.startswith(PUBLIC_PREFIX) else key_of(text)
    except ValueError:
        wanted = (
            'expected one secret of the form "whsec_" + base64 of 24 to 64 bytes,'
            ' or a public key: "whpk_" + base64 of 32 bytes'
        )
        raise click.BadParameter(wanted, param_hint="--secret-file") from None


def parse_time(text: str, option: str) -> datetime:
    """Return the UTC time that text names. Raises click.BadParameter, which names the option."""
    try:
        if re.fullmatch(r"[0-9]{1,12}", text):
            return datetime.fromtimestamp(int(text), UTC)
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    wanted = "expected a time such as 2026-11-20T14:31:02Z, or seconds since 1970"
    raise click.BadParameter(wanted, param_hint=option)


def parse_tolerance(text: str) -> int:
    try:
        return int(parse_duration(text).total_seconds())
    except ValueError as error:
        raise click.BadParameter(f"expected {error}", param_hint="--tolerance") from None
