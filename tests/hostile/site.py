"""What is attacked: a receiver of its own, workers, PostgreSQL, Redis, and a pretended provider."""

import asyncio
import hashlib
import hmac
import json
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg

from service import embedded
from service.runtime import utc_now
from service.settings import Privacy
from service.storage.database import upgrade
from service.storage.partitions import keep_partitions
from tests.bench.load import PROJECT_ID
from tests.bench.processes import free_port, listens, started, until
from tests.hostile.provider import Provider

TOKEN = "unguessable-path-segment"
SECRET = "secret-of-the-signature"
KEY = "key-of-the-erp"
NARROW = "3/3s"  # what the forged ids have to get through
WIDE = "1000/s"

CONFIGURATION = """
[settled]
listen = "127.0.0.1:{port}"
data_dir = "{folder}/data-of-none"
log = "json"
api_keys = [{{ name = "erp", key = "{key}", role = "erp" }}]
[database]
url = "{database}"
[redis]
url = "{redis}"
[[account]]
name = "wide"
provider = "ginger"
api_base = "{provider}/wide"
api_key = "key-of-wide"
project_ids = ["{project}"]
webhook_token = "{token}"
limit = "1000/s"
[[account]]
name = "narrow"
provider = "ginger"
api_base = "{provider}/narrow"
api_key = "key-of-narrow"
project_ids = ["{project}"]
webhook_token = "{token}"
limit = "{limit}"
[[account]]
name = "signed"
provider = "gocardless"
api_base = "{provider}/signed"
access_token = "token-of-signed"
webhook_secrets = ["{secret}"]
limit = "1000/s"
[[account]]
name = "bank"
provider = "bunq"
api_base = "{provider}/bank/v1"
api_key = "key-of-bank"
user_id = 42
monetary_account_id = 12345
webhook_token = "{token}"
limit = "3/3s"
"""


@dataclass
class Site:
    """A receiver on a port, its database, and the provider that its workers ask."""

    folder: Path
    port: int
    receiver: int  # process id
    database_url: str
    urls: embedded.Urls
    provider: Provider

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def path(self, account: str) -> str:
        return f"/webhooks/{account}" if account == "signed" else f"/webhooks/{account}/{TOKEN}"

    def configuration(self, limit: str) -> Path:
        """Write the configuration in which the account narrow has a limit."""
        path = self.folder / f"settled-{re.sub('[^0-9a-z]', '-', limit)}.toml"
        text = CONFIGURATION.format(
            port=self.port,
            folder=self.folder,
            key=KEY,
            database=self.database_url,
            redis=self.urls.redis,
            provider=self.provider.url,
            project=PROJECT_ID,
            token=TOKEN,
            secret=SECRET,
            limit=limit,
        )
        path.write_text(text)
        return path

    @contextmanager
    def working(self, limit: str = WIDE) -> Iterator[None]:
        """Run a worker and beat while the block lasts."""
        config = str(self.configuration(limit))
        with ExitStack() as stack:
            for verb in (("worker", "--processes", "1"), ("beat",)):
                log = self.folder / f"{verb[0]}.log"
                arguments = (verb[0], "--config", config, *verb[1:])
                stack.enter_context(started("service.cli.main", *arguments, log=log))
            yield

    def register(self, account: str, order_id: str) -> None:
        """Have the ERP register an order of the provider as one of its own."""
        request = {"account": account, "kind": "order", "provider_id": order_id}
        answer = httpx.post(
            f"{self.url}/v1/requests",
            json={**request, "reference": order_id},
            headers={"authorization": f"Bearer {KEY}"},
            timeout=30.0,
        )
        assert answer.status_code == 201, answer.text

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def count(self, query: str, *values: object) -> int:
        ((number,),) = self.rows(query, *values)
        return int(number or 0)

    def resident_mb(self) -> float:
        """Return how much memory the receiver holds. See proc(5), VmRSS."""
        status = Path(f"/proc/{self.receiver}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None, status
        return int(found[1]) / 1024

    def uncaught(self) -> int:
        """Return how many errors nobody had a name for, in all logs of all processes so far."""
        logs = [path.read_text(errors="replace") for path in self.folder.glob("*.log")]
        return sum(log.count("Traceback") + log.count("internal_error") for log in logs)

    def keep_logs(self, name: str, within: Path | None = None) -> Path:
        """Copy the logs of all processes and servers into a folder that stays; return it.

        It is made within a folder, by default that of the system for temporary files.
        """
        kept = Path(mkdtemp(prefix=f"settled-hostile-{name}-", dir=within))
        for log in (*self.folder.glob("*.log"), *self.folder.glob("data/*.log")):
            shutil.copyfile(log, kept / log.name)
        return kept


@contextmanager
def prepared() -> Iterator[Site]:
    """Run all but the workers while the block lasts."""
    with TemporaryDirectory(prefix="settled-hostile-") as name, ExitStack() as stack:
        folder, provider, port = Path(name), Provider(), free_port()
        folder.chmod(0o755)  # the servers run as another user
        stack.enter_context(provider.listening())
        urls = stack.enter_context(embedded.running(folder / "data"))
        with psycopg.connect(urls.postgres, autocommit=True) as connection:
            connection.execute("create database hostile")
        database_url = urlsplit(urls.postgres)._replace(path="/hostile").geturl()
        upgrade(database_url)
        asyncio.run(_make_partitions(database_url))
        site = Site(folder, port, 0, database_url, urls, provider)
        config = str(site.configuration(WIDE))
        receiver = started("service.cli.main", "web", "--config", config, log=folder / "web.log")
        site.receiver = stack.enter_context(receiver).pid
        until(lambda: listens(port), "the receiver listens")
        yield site


async def _make_partitions(url: str) -> None:
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True)
    async with connection:
        kept = Privacy()
        await keep_partitions(
            connection, today=utc_now().date(), raw_bodies=kept.raw_bodies, facts=kept.facts
        )


def new_id() -> str:
    return str(uuid.uuid4())


def hint(order_id: str) -> bytes:
    """Return a call's body as Ginger sends it."""
    told = {"event": "status_changed", "order_id": order_id, "project_id": PROJECT_ID}
    return json.dumps(told).encode()


def signed(body: bytes) -> dict[str, str]:
    """Return the headers with which GoCardless would send a body."""
    return {"webhook-signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}
