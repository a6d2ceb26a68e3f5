"""Files for an ERP: whole or not there, never overwritten, checked, harmless in a spreadsheet."""

import asyncio
import csv
import io
import json
import re
import resource
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.erp import Notification
from service.erp.file import COLUMNS, FileOutlet, as_csv, as_json_lines

MANUAL = Path(__file__).parents[2] / "deploy" / "ENDPOINTS.md"
AT = datetime(2026, 11, 20, 14, 31, 2, 418123, tzinfo=UTC)


def message(number: int = 1, **data: object) -> Notification:
    euros = {"currency": "EUR", "minor": 4000, "exponent": 2, "decimal": "40.00"}
    ordinary: dict[str, object] = {"reference": f"INV-{number}", "sequence": 1, "received": euros}
    body = {
        "type": "payment_request.paid",
        "id": f"ntf_{number}",
        "timestamp": "2026-11-20T14:31:02.418Z",
        "data": ordinary | data,
    }
    return Notification(f"ntf_{number}", "payment_request.paid", json.dumps(body).encode())


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


@pytest.fixture
async def outlet(tmp_path: Path) -> AsyncIterator[FileOutlet]:
    made = FileOutlet("erp", tmp_path, "jsonl")
    yield made
    await made.aclose()


def visible(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))


def is_intact(folder: Path, checksum: str) -> bool:
    checked = subprocess.run(["sha256sum", "--check", checksum], cwd=folder, check=False)
    return checked.returncode == 0


async def take(outlet: FileOutlet, *messages: Notification, at: datetime = AT) -> tuple[str, str]:
    outcome = await outlet.take(messages, at=at, timeout_seconds=20)
    return outcome.result, outcome.code


async def test_a_batch_is_one_file_whose_checksum_sha256sum_accepts(
    outlet: FileOutlet, tmp_path: Path
) -> None:
    messages = [message(1), message(2)]

    assert await take(outlet, *messages) == ("delivered", "written")

    name = "erp-20261120T143102.418123Z.jsonl"
    assert visible(tmp_path) == [name, f"{name}.sha256"]
    assert (tmp_path / name).read_bytes() == as_json_lines(messages)
    assert is_intact(tmp_path, f"{name}.sha256")


async def test_names_sort_in_the_order_of_the_claims(outlet: FileOutlet, tmp_path: Path) -> None:
    times = [AT + timedelta(microseconds=step) for step in (0, 1, 900_000, 10**6, 10**12)]
    for number, at in enumerate(times):
        await take(outlet, message(number), at=at)

    names = [name for name in visible(tmp_path) if name.endswith(".jsonl")]
    ids = [json.loads((tmp_path / name).read_bytes())["id"] for name in names]
    assert ids == [f"ntf_{number}" for number in range(len(times))]


async def test_a_file_that_is_there_is_never_overwritten(
    outlet: FileOutlet, tmp_path: Path
) -> None:
    await take(outlet, message(1))
    before = {name: (tmp_path / name).read_bytes() for name in visible(tmp_path)}

    assert await take(outlet, message(2)) == ("retry", "file_exists")
    assert {name: (tmp_path / name).read_bytes() for name in visible(tmp_path)} == before


async def test_nobody_ever_sees_a_partial_file(outlet: FileOutlet, tmp_path: Path) -> None:
    """Somebody looks all the time while files of 1 MB appear."""
    done = threading.Event()
    sizes: set[int] = set()

    def look() -> None:
        is_last = False
        while not is_last:
            is_last = done.is_set()
            for path in tmp_path.glob("*.jsonl"):
                sizes.add(path.stat().st_size)
                assert path.with_name(f"{path.name}.sha256").exists()

    watcher = threading.Thread(target=look)
    watcher.start()
    large = message(1, padding="x" * 10**6)
    for number in range(10):
        await take(outlet, large, at=AT + timedelta(seconds=number))
    done.set()
    watcher.join()

    assert sizes == {len(large.body) + 1}
    assert len(visible(tmp_path)) == 20


async def test_what_a_killed_worker_left_aside_is_swept_and_never_appears(
    outlet: FileOutlet, tmp_path: Path
) -> None:
    aside = tmp_path / ".settled" / "erp"
    aside.mkdir(parents=True)
    (aside / "erp-20261120T143101.000000Z.jsonl").write_bytes(b'{"id":"ntf_ha')

    await take(outlet, message(1))

    assert visible(aside) == []
    assert len(visible(tmp_path)) == 2


async def test_two_that_write_at_once_may_end_each_other_but_hold_no_lane(
    outlet: FileOutlet, tmp_path: Path
) -> None:
    """As a claim does whose lease ran out in the middle of it."""
    other = FileOutlet("erp", tmp_path, "jsonl")
    large = message(1, padding="x" * 10**6)
    results: set[str] = set()
    for second in range(15):
        times = [AT + timedelta(seconds=second, milliseconds=each) for each in (0, 1)]
        outcomes = await asyncio.gather(
            *(
                each.take([large], at=at, timeout_seconds=20)
                for each, at in zip((outlet, other), times, strict=True)
            )
        )
        results |= {outcome.result for outcome in outcomes}
    await other.aclose()
    alone = await outlet.take([large], at=AT + timedelta(minutes=1), timeout_seconds=20)

    assert results <= {"delivered", "retry"}
    assert alone.result == "delivered"
    whole = [name for name in visible(tmp_path) if name.endswith(".jsonl")]
    assert {(tmp_path / name).stat().st_size for name in whole} == {len(large.body) + 1}


@contextmanager
def a_disk_that_takes_no_more_than(bytes_max: int) -> Iterator[None]:
    """Have the system refuse to let a file of this process grow."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_is_tried_again_and_leaves_nothing(
    outlet: FileOutlet, tmp_path: Path
) -> None:
    with a_disk_that_takes_no_more_than(200_000):
        assert await take(outlet, message(1, padding="x" * 10**6)) == ("retry", "disk_full")
    assert visible(tmp_path) == visible(tmp_path / ".settled" / "erp") == []

    assert await take(outlet, message(1)) == ("delivered", "written")


async def test_a_folder_that_is_away_holds_the_lane_and_is_not_made(
    outlet: FileOutlet, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path)

    assert await take(outlet, message(1)) == ("hold", "folder_unusable")
    assert tmp_path.name not in visible(tmp_path.parent)


async def test_nothing_appears_once_the_time_of_the_lease_is_over(
    outlet: FileOutlet, tmp_path: Path
) -> None:
    outcome = await outlet.take([message(1)], at=AT, timeout_seconds=0)

    assert (outcome.result, outcome.code) == ("retry", "timeout")
    await take(outlet, message(2), at=AT + timedelta(seconds=1))  # Behind it in the same thread.
    assert visible(tmp_path)[0] == "erp-20261120T143103.418123Z.jsonl"


def test_the_columns_are_those_that_the_manual_names() -> None:
    """Others read by position: a column may be added on the right and nowhere else."""
    _, _, listed = MANUAL.read_text().partition("The columns are:\n")
    listed, _, _ = listed.partition("## ")

    assert list(COLUMNS) == re.findall(r"`(\w+)`", listed)


def test_a_csv_row_says_what_the_message_says() -> None:
    [row] = rows_of(as_csv([message(7, final=True, status="paid", provider={"id": 'x,"y\nz'})]))

    assert (row["id"], row["reference"], row["received"]) == ("ntf_7", "INV-7", "40.00")
    assert (row["currency"], row["final"], row["sequence"]) == ("EUR", "true", "1")
    assert (row["provider_id"], row["amount"], row["rule"]) == ('x,"y\nz', "", "")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("+31612345678", "'+31612345678"),
        ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-40.00", "-40.00"),
        ("INV-1", "INV-1"),
    ],
)
def test_no_cell_is_a_formula(text: str, cell: str) -> None:
    [row] = rows_of(as_csv([message(1, reference=text)]))

    assert row["reference"] == cell


async def test_two_endpoints_share_a_folder(tmp_path: Path) -> None:
    outlets: list[Any] = [FileOutlet(name, tmp_path, "csv") for name in ("erp", "erp-2")]
    for outlet in outlets:
        assert await take(outlet, message(1)) == ("delivered", "written")
        await outlet.aclose()

    assert len(visible(tmp_path)) == 4
