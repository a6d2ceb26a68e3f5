import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from service.embedded import Urls
from service.storage.database import migrations
from tests.cli.command import settled
from tests.cli.conftest import configure

NAMES = [migration.name for migration in migrations()]
EMPTY = "settled_test_empty"


@pytest.fixture
def empty(servers: Urls) -> Iterator[str]:
    """A database that was never migrated."""
    with psycopg.connect(servers.postgres, autocommit=True) as connection:
        connection.execute(f"drop database if exists {EMPTY} with (force)")
        connection.execute(f"create database {EMPTY}")
        yield urlsplit(servers.postgres)._replace(path=f"/{EMPTY}").geturl()
        connection.execute(f"drop database {EMPTY} with (force)")


def test_status_finds_a_problem_until_everything_is_applied(
    tmp_path: Path, servers: Urls, empty: str
) -> None:
    folder = configure(tmp_path, postgres=empty, redis=servers.redis)

    dry = settled("db", "upgrade", "--dry-run", "--json", folder=folder)
    before = settled("db", "status", "--json", folder=folder)
    upgraded = settled("db", "upgrade", "--json", folder=folder)
    after = settled("db", "status", "--json", folder=folder)

    assert (before.returncode, after.returncode) == (6, 0)
    assert (dry.returncode, dry.stdout) == (0, before.stdout)
    assert json.loads(before.stdout) == {"current": False, "pending": NAMES}
    assert json.loads(upgraded.stdout) == {"applied": NAMES}
    assert json.loads(after.stdout) == {"current": True, "pending": []}


def test_upgrading_twice_applies_nothing_the_second_time(configured: Path) -> None:
    again = settled("db", "upgrade", folder=configured)

    assert (again.returncode, again.stdout) == (0, "up to date\n")


@pytest.mark.parametrize("mode", ["test", "live"])
def test_the_first_line_on_stderr_says_where_this_is(
    configured: Path, database_url: str, mode: str
) -> None:
    with (configured / "settled.toml").open("a") as file:
        file.write(f'[settled]\nmode = "{mode}"\n')

    first = settled("db", "status", folder=configured).stderr.splitlines()[0]

    name = urlsplit(database_url).path.strip("/")
    assert first.startswith(f"settled {mode.upper()}: settled.toml, database {name} at /")


def test_a_verb_that_needs_tables_names_the_remedy_where_there_are_none(
    tmp_path: Path, servers: Urls, empty: str
) -> None:
    listed = settled(
        "orders", "list", folder=configure(tmp_path, postgres=empty, redis=servers.redis)
    )

    assert (listed.returncode, listed.stdout) == (6, "")
    assert "settled db upgrade" in listed.stderr


def test_embedded_servers_of_another_process_are_found_by_the_data_directory(
    tmp_path: Path, servers: Urls, database_url: str
) -> None:
    data_dir = tmp_path / ".settled"
    data_dir.mkdir()
    found = {"postgres": database_url, "redis": servers.redis}
    (data_dir / "servers.json").write_text(json.dumps(found))
    (tmp_path / "settled.toml").touch()

    shown = settled("db", "status", folder=tmp_path)

    assert (shown.returncode, shown.stdout) == (0, "up to date\n")


@pytest.mark.parametrize("verb", ["status", "upgrade"])
def test_a_database_that_is_away_is_told_as_such(tmp_path: Path, verb: str) -> None:
    nowhere = configure(
        tmp_path, postgres="postgresql:///none?host=/nonexistent", redis="redis://127.0.0.1:1"
    )

    ended = settled("db", verb, folder=nowhere)

    assert (ended.returncode, ended.stdout) == (4, "")
    assert "PostgreSQL does not answer" in ended.stderr


def test_without_settled_up_there_is_no_embedded_database(tmp_path: Path) -> None:
    (tmp_path / "settled.toml").touch()

    ended = settled("db", "status", folder=tmp_path)

    assert ended.returncode == 4
    assert "settled up" in ended.stderr
