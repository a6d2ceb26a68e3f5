"""Real PostgreSQL and Redis for the whole run, and a fresh database for every test that asks.

A run of everything works in two processes, whole files each, and each has servers of its own.
"""

import os
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import hypothesis
import psycopg
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from service import embedded
from service.storage.database import Pool, pool_of, upgrade

PROCESSES = 2  # more of them find no more cores on the machines that we measured on
# Files whose tests each start several processes and measure how long these take: one at a time,
# and first, so that no process is left alone with them at the end.
WHOLE_SERVICES = ("tests/test_up.py", "tests/cli/test_demo.py", "tests/endurance/test_short.py")

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile(
    "shared machine",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("shared machine")

_numbers = count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Spread a run of everything over processes, unless told how many or given shared servers."""
    is_one_of_them = hasattr(config, "workerinput")
    if is_one_of_them or not config.pluginmanager.hasplugin("xdist"):
        return
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if everything and config.option.numprocesses is None and _given_servers() is None:
        config.option.numprocesses = PROCESSES
    config.option.loadscopereorder = False  # they come in the order below


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return WholeFiles(config, log)


class WholeFiles(LoadScopeScheduling):  # type: ignore[misc]  # xdist comes without types
    """Gives each file to one process, and all that start whole services to the same."""

    def _split_scope(self, nodeid: str) -> str:
        return _lot_of(nodeid)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _lot_of(item.nodeid) != WHOLE_SERVICES[0])


def _lot_of(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return WHOLE_SERVICES[0] if file in WHOLE_SERVICES else file


@pytest.fixture(scope="session")
def servers() -> Iterator[embedded.Urls]:
    """PostgreSQL and Redis; $SETTLED_TEST_DATABASE_URL and $SETTLED_TEST_REDIS_URL replace them."""
    if (given := _given_servers()) is not None:
        yield given
        return
    with (
        TemporaryDirectory(prefix="settled-tests-") as folder,
        embedded.running(Path(folder) / "data") as urls,
    ):
        yield urls


@pytest.fixture(scope="session")
def template(servers: embedded.Urls) -> str:
    """The name of a migrated database that fresh ones are copied from."""
    name = "settled_template"
    _administer(servers, f"drop database if exists {name}", f"create database {name}")
    upgrade(_url_of(servers, name))
    return name


@pytest.fixture
def database_url(servers: embedded.Urls, template: str) -> Iterator[str]:
    """A fresh, migrated database."""
    name = f"settled_test_{next(_numbers)}"
    _administer(
        servers,
        f"drop database if exists {name} with (force)",
        f"create database {name} template {template} strategy wal_log",
    )
    yield _url_of(servers, name)
    _administer(servers, f"drop database if exists {name} with (force)")


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    opened = pool_of(database_url, application="tests", connections_max=8)
    await opened.open()
    yield opened
    await opened.close()


def _given_servers() -> embedded.Urls | None:
    """Servers from outside, which are for one process only: the tests empty that Redis."""
    postgres = os.environ.get("SETTLED_TEST_DATABASE_URL")
    redis = os.environ.get("SETTLED_TEST_REDIS_URL")
    return embedded.Urls(postgres, redis) if postgres and redis else None


def _url_of(servers: embedded.Urls, name: str) -> str:
    return urlsplit(servers.postgres)._replace(path=f"/{name}").geturl()


def _administer(servers: embedded.Urls, *statements: str) -> None:
    with psycopg.connect(servers.postgres, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
