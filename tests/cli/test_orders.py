import json
import os
import pty
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from psycopg.types.json import Jsonb

from service.storage.database import Pool
from service.storage.views.orders import find_order
from tests.cli.command import settled
from tests.storage.rows import AT, insert, insert_order, insert_request


async def test_a_shown_order_is_the_object_of_the_api(configured: Path, pool: Pool) -> None:
    order_id = await insert_order(pool, "INV/1", status="paid", received=4000)
    await insert_request(pool, "a", order_id=order_id)

    shown = settled("orders", "show", "INV/1", "--json", folder=configured)

    assert json.loads(shown.stdout) == await find_order(pool, "INV/1")


async def test_a_person_reads_amounts_and_the_requests_of_an_order(
    configured: Path, pool: Pool
) -> None:
    order_id = await insert_order(pool, "INV-1", status="overpaid", attention=["overpaid"])
    await insert_request(pool, "a", order_id=order_id, received=4100)

    lines = settled("orders", "show", "INV-1", folder=configured).stdout.splitlines()

    assert "attention   overpaid" in lines
    assert "amount      40.00 EUR" in lines
    assert lines[-1].split() == [
        *("prq_a", "ginger-nl", "a", "paid", "41.00", "EUR", "0.00", "EUR", "yes")
    ]


async def test_a_person_reads_who_decided_what_of_an_order(configured: Path, pool: Pool) -> None:
    order_id = await insert_order(pool, "INV-1", status="closed", withdrawn=True)
    amounts = ({"currency": "EUR", "decimal": "40.00"}, {"currency": "EUR", "decimal": "30.00"})
    before, after = ({"amount": amount, "withdrawn": False} for amount in amounts)
    for number, (what, reason, detail) in enumerate(
        [
            ("amendment", None, {"changed": ["amount"], "before": before, "after": after}),
            ("acknowledgement", "given back", {"code": "overpaid"}),
            ("link", None, {"request_id": "prq_a", "from": None, "to": "INV-1"}),
        ]
    ):
        await insert(
            pool, "decisions", id=f"dec_{number}", subject="order", subject_id=order_id, what=what,
            detail=Jsonb(detail), who="api:ops", reason=reason, at=AT + timedelta(seconds=number),
        )  # fmt: skip

    lines = settled("orders", "show", "INV-1", folder=configured).stdout.splitlines()

    assert [line.split() for line in lines[-3:]] == [
        text.split()
        for text in (
            "2026-11-20T14:31:02.418Z amendment api:ops - amount: 40.00 EUR -> 30.00 EUR",
            "2026-11-20T14:31:03.418Z acknowledgement api:ops given back overpaid",
            "2026-11-20T14:31:04.418Z link api:ops - prq_a: - -> INV-1",
        )
    ]


def test_an_unknown_order_is_not_found(configured: Path) -> None:
    ended = settled("orders", "show", "none", "--json", folder=configured)

    assert (ended.returncode, ended.stdout) == (5, "")
    assert "'none'" in ended.stderr


async def test_the_list_is_one_object_on_each_line_newest_first(
    configured: Path, pool: Pool
) -> None:
    await insert_order(pool, "INV-1")
    await insert_order(pool, "INV-2", updated_at=AT + timedelta(seconds=1))

    listed = settled("orders", "list", "--json", folder=configured)

    lines = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [order["reference"] for order in lines] == ["INV-2", "INV-1"]


async def test_the_list_narrows_and_says_when_it_is_cut(configured: Path, pool: Pool) -> None:
    await insert_order(pool, "INV-1", status="paid")
    await insert_order(pool, "INV-2", status="paid")
    await insert_order(pool, "CN-3")

    def references(*options: str) -> set[str]:
        listed = settled("orders", "list", *options, folder=configured)
        return {line.split()[0] for line in listed.stdout.splitlines()[1:]}

    assert references("--status", "paid") == {"INV-1", "INV-2"}
    assert references("--search", "cn-") == {"CN-3"}
    cut = settled("orders", "list", "--limit", "2", folder=configured)
    assert len(cut.stdout.splitlines()) == 3
    assert "more than 2" in cut.stderr


def test_a_status_that_no_order_has_is_a_usage_error(configured: Path) -> None:
    ended = settled("orders", "list", "--status", "payed", folder=configured)

    assert ended.returncode == 2
    assert "part_paid" in ended.stderr


def test_a_list_without_orders_has_a_head_and_no_rows(configured: Path) -> None:
    listed = settled("orders", "list", folder=configured)

    assert listed.returncode == 0
    assert listed.stdout.split() == [
        *("REFERENCE", "STATUS", "AMOUNT", "RECEIVED", "ATTENTION", "UPDATED_AT")
    ]


async def test_what_a_payer_wrote_cannot_steer_the_terminal(configured: Path, pool: Pool) -> None:
    await insert_order(pool, "INV [red]\x1b[2J\x07")

    plain = settled("orders", "list", folder=configured).stdout
    on_terminal = settled_on_a_terminal("orders", "list", folder=configured)

    for shown in (plain, on_terminal):
        assert "INV [red]?[2J?" in shown
        assert "\x1b[2J" not in shown


def settled_on_a_terminal(*arguments: str, folder: Path) -> str:
    """Run a command line with a terminal of 200 columns for stdout; return what it shows."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli.main", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200"},
            stdout=theirs,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        shown = b""
        try:
            while part := screen.read(4096):
                shown += part
        except OSError:  # Linux says EIO where the last writer has left a terminal.
            pass
        assert process.wait(timeout=30) == 0
    return shown.decode()
