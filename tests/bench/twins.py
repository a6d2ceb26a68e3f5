"""One sandbox process with an account at each provider, and the product's parts that read there."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import msgspec

from service import settings
from service.cli.demo_accounts import CALL_LIMIT_FACTOR, DemoAccount, make_accounts
from service.cli.demo_api import Api, Made, Stats, Truth
from service.domain.request import Answer, Kind, Observation
from service.fetch import ConnectedAccount, Fetched, Line, fetch
from service.providers import NeedsSession
from service.runtime import Runtime, introduce, open_runtime
from tests.bench.processes import free_port, listens, started, until
from tests.bench.report import CountsDiffer
from tests.bench.site import Site

T = TypeVar("T")
Item = TypeVar("Item")

CONCURRENCY: Final = 16

# What is measured is not to wait for its own call budget.
LIMIT = "100000/s"
AT_ONCE = {"min_ms": 0, "max_ms": 0}
STORY_SECONDS_MAX = 30

CONFIGURATION = """
[settled]
data_dir = "{folder}/data-of-none"
[database]
url = "{database}"
[redis]
url = "{redis}"

{accounts}
"""


@dataclass(frozen=True)
class Twins:
    """The twins by provider, each with one account, and how the product reads them."""

    accounts: Mapping[str, ConnectedAccount]
    runtime: Runtime
    sandbox: Api

    @property
    def line(self) -> Line:
        return Line(self.runtime.provider_wire, self.runtime.budget.draw, self.runtime.sessions)

    async def play(self, account: ConnectedAccount, story: str, count: int) -> list[Made]:
        """Make count requests and play a story on each to its end."""
        plan = {"reference": story, "story": story, "count": count, "pace": AT_ONCE}
        made = await self.sandbox.post(f"/sandbox/accounts/{account.name}/requests", plan)
        await self.sandbox.get("/sandbox/stats", Stats, wait=STORY_SECONDS_MAX)
        return msgspec.json.decode(made, type=list[Made])

    async def read(self, account: ConnectedAccount, made: Made) -> Fetched[Answer]:
        """Read a request as a worker does that a webhook woke and that knows nothing of it."""
        exchange = account.provider.read(Kind(made.kind), made.provider_id, None)
        return await fetch(account, exchange, line=self.line, purpose="told")

    async def check(
        self, account: ConnectedAccount, made: Iterable[Made], fetched: Iterable[Fetched[Answer]]
    ) -> None:
        """Raise CountsDiffer unless every read came to what the ledger says, status and money."""
        truths = await self.sandbox.get("/sandbox/truth", list[Truth], account=account.name)
        expected = {truth.provider_id: _standing_of(truth) for truth in truths}
        for one, read in zip(made, fetched, strict=True):
            if _standing(read.answer) != expected[one.provider_id]:
                raise CountsDiffer(
                    f"{account.name} {one.provider_id}: read {_standing(read.answer)},"
                    f" the ledger has {expected[one.provider_id]}"
                )

    async def calls(self) -> int:
        """Return how many calls the sandbox has counted so far, logins included."""
        return sum((await self.sandbox.get("/sandbox/stats", Stats)).provider_reads.values())


async def side_by_side(work: Callable[[Item], Awaitable[T]], items: Sequence[Item]) -> list[T]:
    """Do the work for all items, CONCURRENCY at a time; return what came of it, in order."""
    done: dict[int, T] = {}
    waiting = iter(enumerate(items))

    async def lane() -> None:
        for index, item in waiting:
            done[index] = await work(item)

    await asyncio.gather(*(lane() for _ in range(CONCURRENCY)))
    return [done[index] for index in range(len(items))]


@asynccontextmanager
async def opened(site: Site, database_url: str) -> AsyncIterator[Twins]:
    """Start the sandbox, open the accounts there and a worker's runtime here, and log in."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    folder = site.folder / "twins"
    folder.mkdir()
    accounts = [_widened(account) for account in make_accounts(folder, url)]
    configuration = _configuration(site, database_url, accounts)
    address = ("--listen", f"127.0.0.1:{port}")
    with started("service.cli.main", "sandbox", *address, log=site.log):
        until(lambda: listens(port), "the sandbox listens")
        async with Api(url) as sandbox, open_runtime(configuration, role="worker") as runtime:
            await introduce(runtime)
            for account in accounts:
                await sandbox.post("/sandbox/accounts", _sandbox_settings(account))
            for connected in runtime.accounts.values():
                if isinstance(connected.provider, NeedsSession):
                    await runtime.sessions.current(connected)
            by_provider = {each.section.provider: each for each in runtime.accounts.values()}
            yield Twins(by_provider, runtime, sandbox)


def _standing(answer: Answer) -> object:
    """Return the status and the money of an answer, and the answer itself where it has none."""
    if not isinstance(answer, Observation):
        return answer
    facts = answer.facts
    return (str(facts.status), facts.final, *facts.money)


def _standing_of(truth: Truth) -> object:
    money = (truth.received, truth.refunded, truth.taken_back, truth.booked)
    return (truth.status, truth.final, *money)


def _widened(account: DemoAccount) -> DemoAccount:
    return replace(account, table={**account.table, "limit": LIMIT})


def _sandbox_settings(account: DemoAccount) -> dict[str, object]:
    return {
        "name": account.name,
        "provider": account.provider,
        "call_limit_factor": CALL_LIMIT_FACTOR,
        **account.settings,
    }


def _configuration(
    site: Site, database_url: str, accounts: Iterable[DemoAccount]
) -> settings.Settings:
    path = site.folder / "twins.toml"
    path.write_text(
        CONFIGURATION.format(
            folder=site.folder,
            database=database_url,
            redis=site.urls.redis,
            accounts="\n\n".join(account.as_toml() for account in accounts),
        )
    )
    return settings.load(path, os.environ)
