"""A folder to run `settled` in, with a configuration that names real servers."""

from pathlib import Path
from urllib.parse import urlencode

import pytest
from psycopg.conninfo import conninfo_to_dict

from service.embedded import Urls

CONFIGURATION = """\
[database]
url = "{postgres}"
[redis]
url = "{redis}"
"""


def as_url(address: str) -> str:
    """Return any spelling that libpq understands as the URL that the configuration wants."""
    return f"postgresql://?{urlencode(conninfo_to_dict(address))}"


def configure(folder: Path, *, postgres: str, redis: str) -> Path:
    """Write a settled.toml for these servers into folder; return the folder."""
    text = CONFIGURATION.format(postgres=as_url(postgres), redis=redis)
    (folder / "settled.toml").write_text(text)
    return folder


@pytest.fixture
def configured(tmp_path: Path, servers: Urls, database_url: str) -> Path:
    """The folder of a configuration whose database is fresh and migrated."""
    return configure(tmp_path, postgres=database_url, redis=servers.redis)
