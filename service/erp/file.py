"""kind = "file": writes notifications into a folder, one file for each batch.

NAME-20261120T143102.418123Z.csv, or .jsonl, and beside it the same name with .sha256 behind it,
as `sha256sum --check` reads it. The time is the database's at the claim: names of one endpoint
sort in the order in which its files were written. The checksum appears first and the file last,
in one step and in full, so whoever looks for *.csv or *.jsonl never meets half of one. Nothing
is ever overwritten. After a crash a batch may be written again under another name: at least
once, and every line begins with or holds the notification's id.
"""

import asyncio
import csv
import errno
import hashlib
import io
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, Literal

from service.erp.outcome import Notification, Outcome, outcome

Format = Literal["csv", "jsonl"]

# Where files are written before they appear: in the folder itself, so that a rename suffices.
ASIDE: Final = ".settled"

# New columns are only ever added on the right. Amounts are decimal text in the currency.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id",),
    "type": ("type",),
    "timestamp": ("timestamp",),
    "reference": ("data", "reference"),
    "order_id": ("data", "order_id"),
    "request_id": ("data", "request_id"),
    "account": ("data", "account"),
    "sequence": ("data", "sequence"),
    "status": ("data", "status"),
    "previous_status": ("data", "previous_status"),
    "final": ("data", "final"),
    "correction": ("data", "correction"),
    "currency": ("data", "received", "currency"),
    "amount": ("data", "amount", "decimal"),
    "received": ("data", "received", "decimal"),
    "refunded": ("data", "refunded", "decimal"),
    "taken_back": ("data", "taken_back", "decimal"),
    "booked": ("data", "booked", "decimal"),
    "reason": ("data", "reason"),
    "rule": ("data", "rule"),
    "provider": ("data", "provider", "name"),
    "provider_id": ("data", "provider", "id"),
    "provider_status": ("data", "provider", "status"),
    "occurred_at": ("data", "occurred_at"),
    "observed_at": ("data", "observed_at"),
}

# What makes a spreadsheet take a cell for a formula. Source: OWASP, "CSV Injection".
FORMULA = re.compile(r"[=+\-@\t\r]")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)

FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FileOutlet:
    """One endpoint's folder. The lane lets one batch through at a time, over all workers."""

    def __init__(self, name: str, folder: Path, form: Format) -> None:
        self._name = name
        self._folder = folder
        self._content = as_csv if form == "csv" else as_json_lines
        self._suffix = form
        # A thread of its own: a disk that hangs holds up nothing but this endpoint.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"file-{name}")

    async def take(
        self, notifications: Sequence[Notification], *, at: datetime, timeout_seconds: float
    ) -> Outcome:
        """Write one file. A full disk is tried again, a folder that is away holds the lane."""
        started = time.monotonic()
        file = f"{self._name}-{at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}.{self._suffix}"
        write = partial(self._write, file, notifications, started + timeout_seconds)
        try:
            async with asyncio.timeout(timeout_seconds):
                await asyncio.get_running_loop().run_in_executor(self._thread, write)
        except TimeoutError:
            return outcome("retry", "timeout", since=started)
        except FileExistsError:
            return outcome("retry", "file_exists", since=started)
        except OSError as error:
            if error.errno in FULL:
                return outcome("retry", "disk_full", since=started)
            reason = os.strerror(error.errno or 0)
            return outcome("hold", "folder_unusable", since=started, excerpt=reason)
        return outcome("delivered", "written", since=started, excerpt=file)

    async def aclose(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _write(self, file: str, notifications: Sequence[Notification], ends_at: float) -> None:
        """Write file and its checksum aside, then let both appear. Raises OSError.

        Past ends_at another worker may have the batch: then nothing may appear any more. What
        an overtaken or killed worker left aside is swept away, which ends its writing too.
        """
        content = self._content(notifications)
        checksum = f"{hashlib.sha256(content).hexdigest()}  {file}\n".encode()
        parts = {f"{file}.sha256": checksum, file: content}
        aside = self._folder / ASIDE / self._name
        aside.parent.mkdir(exist_ok=True)
        aside.mkdir(exist_ok=True)
        _sweep(aside)
        try:
            for name, part in parts.items():
                _write_durably(aside / name, part)
            if time.monotonic() >= ends_at:
                raise TimeoutError
            for name in parts:
                _appear(aside / name, self._folder / name)
        finally:
            _sweep(aside)


def as_json_lines(notifications: Sequence[Notification]) -> bytes:
    """Return one body a line, byte for byte as it would be posted."""
    return b"".join(notification.body + b"\n" for notification in notifications)


def as_csv(notifications: Sequence[Notification]) -> bytes:
    """Return a header and one row a notification, as RFC 4180 has it, in UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for notification in notifications:
        body = json.loads(notification.body)
        writer.writerow(_cell(body, path) for path in COLUMNS.values())
    return text.getvalue().encode()


def _cell(body: object, path: Sequence[str]) -> str:
    """Return what stands at path as text that no spreadsheet runs; empty where nothing does."""
    for key in path:
        body = body.get(key) if isinstance(body, dict) else None
    match body:
        case None:
            return ""
        case bool():
            return "true" if body else "false"
        case str() if FORMULA.match(body) and not NUMBER.fullmatch(body):
            return f"'{body}"
        case _:
            return str(body)


def _sweep(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink(missing_ok=True)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _appear(aside: Path, path: Path) -> None:
    """Move a file to where others look, in one step, and make its name durable.

    Nobody else writes names of this endpoint, so looking first suffices to overwrite nothing.
    """
    if path.exists():
        raise FileExistsError
    try:
        aside.rename(path)
    except FileNotFoundError:
        # Swept away by whoever writes now: a claim that came later, or a message to try it out.
        raise TimeoutError from None
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
