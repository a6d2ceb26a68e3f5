"""What all benchmarks stand on: PostgreSQL, Redis and the stub, databases and configurations."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psycopg
from redis import Redis

from service import embedded
from service.runtime import utc_now
from service.settings import Privacy
from service.storage.database import upgrade
from service.storage.partitions import keep_partitions
from tests.bench.load import PROJECT_ID
from tests.bench.plain import ERP_SECRET, TOKEN
from tests.bench.processes import free_port, listens, started, until
from tests.bench.stub import Stub

PATH = f"/webhooks/ginger/{TOKEN}"

CONFIGURATION = """
[settled]
listen = "127.0.0.1:{port}"
data_dir = "{folder}/data-of-none"
log = "json"
[database]
url = "{database}"
[redis]
url = "{redis}"
[[account]]
name = "ginger"
provider = "ginger"
api_base = "{stub}"
api_key = "0123456789abcdef0123456789abcdef"
project_ids = ["{project}"]
webhook_token = "{token}"
limit = "100000/s"
[[endpoint]]
name = "erp"
url = "{stub}/erp"
secrets = ["{secret}"]
allow_private = true
rate = "100000/s"
concurrency = 256
"""


@dataclass(frozen=True)
class Site:
    """A machine made ready for benchmarks. postgres and redis are process ids."""

    folder: Path
    urls: embedded.Urls
    stub: Stub
    postgres: int
    redis: int

    @property
    def log(self) -> Path:
        return self.folder / "processes.log"

    def database(self, name: str) -> str:
        """Make a database with the product's schema and today's partitions; return its URL."""
        with psycopg.connect(self.urls.postgres, autocommit=True) as connection:
            connection.execute(f"create database {name}".encode())
        url = urlsplit(self.urls.postgres)._replace(path=f"/{name}").geturl()
        upgrade(url)
        asyncio.run(_make_partitions(url))
        return url

    def configuration(self, database_url: str, *, port: int) -> Path:
        """Write a configuration whose limits are out of the way."""
        path = self.folder / f"settled-{port}.toml"
        path.write_text(
            CONFIGURATION.format(
                port=port,
                folder=self.folder,
                database=database_url,
                redis=self.urls.redis,
                stub=self.stub.url,
                project=PROJECT_ID,
                token=TOKEN,
                secret=ERP_SECRET,
            )
        )
        return path

    def broker(self) -> Redis:
        return Redis.from_url(self.urls.redis)


@contextmanager
def prepared() -> Iterator[Site]:
    """Start PostgreSQL, Redis and the stub; they end with the block."""
    with TemporaryDirectory(prefix="settled-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the servers run as another user
        port = free_port()
        stub = started("tests.bench.stub", str(port), log=folder / "stub.log")
        with embedded.running(folder / "data") as urls, stub:
            until(lambda: listens(port), "the stub listens")
            postmaster = (folder / "data" / "postgres" / "postmaster.pid").read_text()
            facts = Redis.from_url(urls.redis).info("server")
            yield Site(
                folder,
                urls,
                Stub(port),
                postgres=int(postmaster.split("\n", 1)[0]),
                redis=facts["process_id"],
            )


async def _make_partitions(url: str) -> None:
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with connection:
        await keep_partitions(
            connection,
            today=utc_now().date(),
            raw_bodies=Privacy().raw_bodies,
            facts=Privacy().facts,
        )
