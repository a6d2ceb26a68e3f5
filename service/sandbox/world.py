"""Everything the sandbox knows: accounts, stories being played, the ERP, the measurements."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any, TypeVar

import httpx
from starlette.requests import Request

from service.sandbox.accounts import WEBHOOK_COUNTS, Account, AccountSettings, Pace
from service.sandbox.erp import Erp
from service.sandbox.latency import Latency
from service.sandbox.ledger import PaymentRequest
from service.sandbox.story import Story
from service.sandbox.truth import Truth
from service.sandbox.webhooks import Sender

T = TypeVar("T")

AnyAccount = Account[Any]
MakeAccount = Callable[[Any], AnyAccount]


class World:
    """One running sandbox. now tells the time of every entry that is made."""

    def __init__(self, client: httpx.AsyncClient, now: Callable[[], datetime]) -> None:
        self.now = now
        self.accounts: dict[str, AnyAccount] = {}
        self._by_credentials: dict[tuple[str, str], AnyAccount] = {}
        self._shared: dict[type[Any], Any] = {}
        self.latency = Latency(time.monotonic)
        self.erp = Erp(self.latency, now)
        self.sender = Sender(client, self.latency)
        self._client = client
        self._playing: set[asyncio.Task[None]] = set()

    def open_account(self, settings: AccountSettings, make: MakeAccount) -> bool:
        """Open an account, or change the settings of one; return whether it is new.

        Raises ValueError when another account has these credentials, or another provider this
        name.
        """
        credentials = (settings.provider, settings.credentials)
        holder = self._by_credentials.get(credentials)
        if holder is not None and holder.settings.name != settings.name:
            raise ValueError(f"the key belongs to account {holder.settings.name}")
        known = self.accounts.get(settings.name)
        if known is None:
            self.accounts[settings.name] = account = make(settings)
        else:
            if known.settings.provider != settings.provider:
                raise ValueError(f"{settings.name} is an account at {known.settings.provider}")
            account, former = known, known.settings.credentials
            account.configure(settings)
            del self._by_credentials[settings.provider, former]
        self._by_credentials[credentials] = account
        return known is None

    def admit(self, provider: str, credentials: str) -> AnyAccount | None:
        """Return the account at a provider that these credentials belong to."""
        return self._by_credentials.get((provider, credentials))

    def shared(self, what: type[T]) -> T:
        """Return what a provider keeps that is no account's; made when first asked for."""
        if what not in self._shared:
            self._shared[what] = what()
        found = self._shared[what]
        assert isinstance(found, what)
        return found

    def ask(
        self, account: AnyAccount, story: Story, *, reference: str, amount: int, currency: str
    ) -> PaymentRequest:
        """Make the request that a story is going to be about.

        Raises ValueError where the provider cannot ask for that amount or currency.
        """
        request = account.ask(
            story, reference=reference, amount=amount, currency=currency, at=self.now()
        )
        request.lag_ms = story.stale_ms
        return request

    def play(self, account: AnyAccount, request: PaymentRequest, story: Story, pace: Pace) -> None:
        """Start playing a story; it goes on by itself."""
        task = asyncio.create_task(self._play(account, request, story, pace))
        self._playing.add(task)
        task.add_done_callback(self._playing.discard)

    def truth(self, account_name: str | None = None) -> list[Truth]:
        """Return what an ERP has to know in the end, of one account or of all."""
        truths = []
        for name, account in self.accounts.items():
            for request in account.requests.values() if account_name in (None, name) else ():
                account.pass_time(request, self.now())
                truths.append(account.truth(request))
        return [truth for truth in truths if truth is not None]

    def stats(self) -> dict[str, object]:
        """Return the counts of all accounts, and how many stories are being played."""
        webhooks: Counter[str] = Counter()
        reads: Counter[str] = Counter()
        for account in self.accounts.values():
            webhooks.update(account.webhooks)
            reads.update(account.reads)
        return {
            "webhooks": {name: webhooks[name] for name in WEBHOOK_COUNTS},
            "provider_reads": dict(sorted(reads.items())),
            "playing": len(self._playing),
        }

    @property
    def requests_made(self) -> int:
        """How many requests there are, at all accounts together."""
        return sum(len(account.requests) for account in self.accounts.values())

    async def quiet(self, *, timeout_seconds: float) -> None:
        """Wait until no story and no webhook is under way, at most that long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while under_way := self._playing | self.sender.under_way:
                    await asyncio.wait(under_way)

    async def close(self) -> None:
        """Stop every story and every webhook."""
        for task in self._playing:
            task.cancel()
        await asyncio.gather(*self._playing, return_exceptions=True)
        await self.sender.close()
        await self._client.aclose()

    async def _play(
        self, account: AnyAccount, request: PaymentRequest, story: Story, pace: Pace
    ) -> None:
        # Seeded by the request's id, which is seeded by the account: a story's pauses do not
        # depend on which others are played beside it.
        random = Random(request.id)  # noqa: S311 - pauses, not secrets
        await asyncio.sleep(pace.pause_seconds(random))
        self.sender.tell(account, request, returns=story.tells_returns)
        for beat in story.beats(has_money=account.has_money(request)):
            for _ in range(beat.pauses):
                await asyncio.sleep(pace.pause_seconds(random))
            beat.act(request, self.now())
            self.sender.tell(account, request, returns=story.tells_returns)


def world_of(request: Request) -> World:
    """Return the world that a request has come to."""
    world = request.app.state.world
    assert isinstance(world, World)
    return world
