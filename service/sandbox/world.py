"""Everything the sandbox knows: accounts, stories being played, the ERP, the measurements."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from random import Random

import httpx
from starlette.requests import Request

from service.sandbox.accounts import WEBHOOK_COUNTS, Account, AccountSettings, Pace
from service.sandbox.erp import Erp
from service.sandbox.ginger_transactions import Json
from service.sandbox.latency import Latency
from service.sandbox.ledger import Order
from service.sandbox.stories import CAPTURED_BY_HAND, Story
from service.sandbox.truth import truth_of
from service.sandbox.webhooks import Sender


class World:
    """One running sandbox. now tells the time of every entry that is made."""

    def __init__(self, client: httpx.AsyncClient, now: Callable[[], datetime]) -> None:
        self.now = now
        self.accounts: dict[str, Account] = {}
        self.by_credentials: dict[str, Account] = {}
        self.latency = Latency(time.monotonic)
        self.erp = Erp(self.latency, now)
        self.sender = Sender(client, self.latency)
        self._client = client
        self._playing: set[asyncio.Task[None]] = set()

    def open_account(self, settings: AccountSettings) -> bool:
        """Open an account, or change the settings of one; return whether it is new.

        Raises ValueError when another account has this key.
        """
        holder = self.by_credentials.get(settings.credentials)
        if holder is not None and holder.settings.name != settings.name:
            raise ValueError(f"the key belongs to account {holder.settings.name}")
        known = self.accounts.get(settings.name)
        account = known or Account(settings)
        self.by_credentials.pop(account.settings.credentials, None)
        account.configure(settings)
        self.accounts[settings.name] = account
        self.by_credentials[settings.credentials] = account
        return known is None

    def ask(
        self, account: Account, story_name: str, *, reference: str, amount: int, currency: str
    ) -> Order:
        """Create the order that a story is going to be about."""
        as_created: Json = {
            "client": {"user_agent": "settled-sandbox"},
            "description": f"Invoice {reference}",
            "expiration_period": "PT30M",
            "extra": {"erp_document": reference},
            "merchant_order_id": reference,
            "return_url": "https://shop.example/return",
        }
        if account.settings.webhook_url is not None:
            as_created["webhook_url"] = account.settings.webhook_url
        if story_name in CAPTURED_BY_HAND:
            as_created |= {"capture_mode": "manual", "expiration_period": "P7D"}
        return account.create(amount, currency, as_created, at=self.now())

    def play(self, account: Account, order: Order, story: Story, pace: Pace) -> None:
        """Start playing a story; it goes on by itself."""
        task = asyncio.create_task(self._play(account, order, story, pace))
        self._playing.add(task)
        task.add_done_callback(self._playing.discard)

    def truth(self, account_name: str | None = None) -> list[dict[str, object]]:
        """Return what an ERP has to know in the end, of one account or of all."""
        return [
            truth_of(order, account=name)
            for name, account in self.accounts.items()
            if account_name in (None, name)
            for order in account.orders()
        ]

    def stats(self) -> dict[str, object]:
        """Return the counts of all accounts, and how many stories are being played."""
        webhooks: Counter[str] = Counter()
        reads: Counter[str] = Counter()
        for account in self.accounts.values():
            webhooks.update(account.webhooks)
            reads.update(account.reads)
        return {
            "webhooks": {name: webhooks[name] for name in WEBHOOK_COUNTS},
            "provider_reads": {kind: reads[kind] for kind in ("order", "list", "refunds")},
            "playing": len(self._playing),
        }

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

    async def _play(self, account: Account, order: Order, story: Story, pace: Pace) -> None:
        # Seeded by the order's id, which is seeded by the account: a story's pauses do not
        # depend on which others are played beside it.
        random = Random(order.id)  # noqa: S311 - pauses, not secrets
        await asyncio.sleep(pace.pause_seconds(random))
        self.sender.tell(account, order, returns=story.tells_returns)
        for beat in story.beats(order):
            for _ in range(beat.pauses):
                await asyncio.sleep(pace.pause_seconds(random))
            beat.act(order, self.now())
            self.sender.tell(account, order, returns=story.tells_returns)


def world_of(request: Request) -> World:
    """Return the world that a request has come to."""
    world = request.app.state.world
    assert isinstance(world, World)
    return world
