"""`settled evidence` as a person uses it: write a pack, check it elsewhere."""

import json
from pathlib import Path

import pytest

from service.storage.database import Pool
from tests.cli.command import settled
from tests.flow.world import order, world_on


@pytest.fixture
async def request_id(pool: Pool) -> str:
    """The id of a request that was read twice: open, then paid."""
    async with world_on(pool) as world:
        world.provider.shows(order(1, "order_new", modified="2024-05-14T09:12:03+00:00"))
        await world.read(1)
        world.provider.shows(order(1))
        await world.read(1)
        request = await world.request(1)
    assert request is not None
    return request.id


async def test_a_pack_is_written_once_for_its_owner_and_checked_without_configuration(
    configured: Path, request_id: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    file = elsewhere / "pack.jsonl"

    dry = settled("evidence", request_id, "--out", file, "--dry-run", folder=configured)
    assert (dry.returncode, dry.stdout, file.exists()) == (0, "", False)
    assert "would write" in dry.stderr
    written = settled("evidence", request_id, "--out", file, folder=configured)
    again = settled("evidence", request_id, "--out", file, folder=configured)
    checked = settled("evidence", "verify", file, "--json", folder=elsewhere)

    assert (written.returncode, written.stdout) == (0, "")
    assert file.stat().st_mode & 0o777 == 0o600
    assert (again.returncode, checked.returncode) == (7, 0)
    found = json.loads(checked.stdout)
    assert (found["valid"], found["request_id"]) == (True, request_id)
    assert found["rows"]["transition"] == 4
    assert f"seal {found['seal']}" in written.stderr


async def test_one_changed_byte_ends_with_6_and_the_row(configured: Path, request_id: str) -> None:
    pack = settled("evidence", request_id, folder=configured).stdout
    changed = configured / "changed.jsonl"
    changed.write_text(pack.replace('"observation_id":"obs_', '"observation_id":"obz_', 1))

    checked = settled("evidence", "verify", changed, folder=configured)
    as_json = settled("evidence", "verify", changed, "--json", folder=configured)

    assert (checked.returncode, checked.stdout, as_json.returncode) == (6, "", 6)
    assert "(transition 1 trn_" in checked.stderr
    (problem,) = json.loads(as_json.stdout)["problems"]
    assert problem.startswith("row 5 (transition 1 trn_")
    assert problem.endswith("changed since it was written")


async def test_a_pack_that_was_damaged_everywhere_ends_in_one_short_message(
    configured: Path, request_id: str
) -> None:
    pack = settled("evidence", request_id, folder=configured).stdout
    damaged = configured / "damaged.jsonl"
    damaged.write_bytes(pack.replace("\n", "\r\n").encode() + b"{}\n" * 20)

    checked = settled("evidence", "verify", damaged, folder=configured)

    assert checked.returncode == 6
    assert checked.stderr.count("changed since it was written") == 10
    assert checked.stderr.endswith("more\n")


async def test_another_pack_of_the_same_request_has_another_seal(
    configured: Path, request_id: str
) -> None:
    file = configured / "pack.jsonl"
    settled("evidence", request_id, "--out", file, folder=configured)
    seal = json.loads(file.read_bytes().splitlines()[-1])["sha256"]

    fine = settled("evidence", "verify", file, "--seal", seal, folder=configured)
    other = settled("evidence", "verify", file, "--seal", "0" * 64, folder=configured)

    assert (fine.returncode, other.returncode) == (0, 6)
    assert "another pack" in other.stderr


async def test_raw_answers_need_a_second_word(configured: Path, request_id: str) -> None:
    refused = settled("evidence", request_id, "--raw", folder=configured)
    plain = settled("evidence", request_id, folder=configured)
    raw = settled("evidence", request_id, "--raw", "--yes", folder=configured)

    assert (refused.returncode, refused.stdout) == (7, "")
    assert '"answer":' not in plain.stdout
    assert '"answer":' in raw.stdout


def test_no_pack_is_written_of_what_is_not_there(configured: Path) -> None:
    file = configured / "pack.jsonl"

    ended = settled("evidence", "prq_none", "--out", file, folder=configured)

    assert ended.returncode == 5
    assert "prq_none" in ended.stderr
    assert not file.exists()


async def test_a_request_is_shown_as_we_knew_it_and_as_it_stood(
    configured: Path, request_id: str
) -> None:
    def show(*options: str) -> tuple[int, str]:
        ended = settled("requests", "show", request_id, "--json", *options, folder=configured)
        return ended.returncode, ended.stdout and str(json.loads(ended.stdout)["status"])

    assert show() == show("--at", "2100-01-01T00:00:00Z") == (0, "paid")
    assert show("--as-of", "2024-05-14T09:12:03Z") == (0, "open")
    assert show("--at", "2001-01-01T00:00:00Z") == (5, "")
    assert show("--at", "yesterday") == (2, "")
