"""A folder to run `settled` in, with a configuration that names real servers."""

from pathlib import Path

import pytest

from service.embedded import Urls


def configure(folder: Path, *, postgres: str, redis: str) -> Path:
    """Write a settled.toml for these servers into folder; return the folder."""
    text = f'[database]\nurl = "{postgres}"\n[redis]\nurl = "{redis}"\n'
    (folder / "settled.toml").write_text(text)
    return folder


@pytest.fixture
def configured(tmp_path: Path, servers: Urls, database_url: str) -> Path:
    """The folder of a configuration whose database is fresh and migrated."""
    return configure(tmp_path, postgres=database_url, redis=servers.redis)
