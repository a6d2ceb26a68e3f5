"""The provider's webhook sender: says that an order changed, and says it again when refused.

Source: fact sheet ginger, section 13. Redirects are not followed; any answer but 2xx is a
refusal.
"""

import asyncio
import contextlib
from dataclasses import dataclass

import httpx
import msgspec

from service.sandbox.accounts import Account, Listed
from service.sandbox.faults import WebhookFault
from service.sandbox.latency import Latency
from service.sandbox.ledger import Order

# Source: fact sheet ginger, section 13.4.
REDELIVERY_SECONDS = 120
TRIES_MAX = 10
FIRST_TIMEOUT_SECONDS = 4
LATER_TIMEOUT_SECONDS = 10


@dataclass(eq=False, slots=True)
class Webhook:
    """One status_changed on its way to the merchant."""

    account: Account
    order: Order
    url: str
    resource_id: str
    word: str
    body: bytes
    fault: WebhookFault | None


class Sender:
    """Compares what the merchant was last told with the ledger and tells the difference."""

    def __init__(self, client: httpx.AsyncClient, latency: Latency) -> None:
        self._client = client
        self._latency = latency
        self._told: dict[str, str] = {}
        self._overtaken: dict[str, asyncio.Event] = {}
        self.under_way: set[asyncio.Task[None]] = set()

    def tell(self, account: Account, order: Order, *, returns: bool = True) -> None:
        """Send a webhook for each status word that changed; returns: for counter orders too."""
        for listed in account.family(order):
            word = account.word(listed)
            if self._told.get(listed.id) == word or (listed.return_id and not returns):
                continue
            self._told[listed.id] = word
            url = order.as_created.get("webhook_url", account.settings.webhook_url)
            if isinstance(url, str):
                self._plan(account, listed, url, word)

    async def close(self) -> None:
        """Stop everything that is still to be sent."""
        for task in self.under_way:
            task.cancel()
        await asyncio.gather(*self.under_way, return_exceptions=True)

    def _plan(self, account: Account, listed: Listed, url: str, word: str) -> None:
        body = {
            "event": "status_changed",
            "project_id": account.settings.project_id,
            "order_id": listed.id,
        }
        if account.settings.webhook_order_status:
            body["order_status"] = word
        fault = account.draws.webhook_fault(account.settings.faults)
        encoded = msgspec.json.encode(body)
        webhook = Webhook(account, listed.order, url, listed.id, word, encoded, fault)
        account.webhooks["planned"] += 1
        if fault is not None:
            account.webhooks[fault.value] += 1
        if fault is not WebhookFault.DROPPED:
            account.webhooks["waiting"] += 1
            self._start(webhook)

    def _start(self, webhook: Webhook) -> None:
        task = asyncio.create_task(self._send(webhook))
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)

    async def _send(self, webhook: Webhook) -> None:
        faults = webhook.account.settings.faults
        match webhook.fault:
            case WebhookFault.REORDERED:
                await self._wait_to_be_overtaken(webhook.order, faults.reorder_ms / 1000)
            case WebhookFault.LATE:
                await asyncio.sleep(faults.late_ms / 1000)
            case WebhookFault.DUPLICATED:
                await self._post(webhook, FIRST_TIMEOUT_SECONDS)
            case _:
                self._latency.sent(webhook.resource_id, webhook.word)
        await self._deliver(webhook)
        webhook.account.webhooks["waiting"] -= 1

    async def _wait_to_be_overtaken(self, order: Order, seconds_max: float) -> None:
        overtaken = self._overtaken.setdefault(order.id, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(overtaken.wait(), seconds_max)

    async def _deliver(self, webhook: Webhook) -> None:
        timeout = FIRST_TIMEOUT_SECONDS
        for wait_seconds in waits_after_tries(webhook.account.settings.time_scale):
            if await self._post(webhook, timeout):
                return
            self._latency.disturbed(webhook.resource_id, webhook.word)
            timeout = LATER_TIMEOUT_SECONDS
            await asyncio.sleep(wait_seconds)
        webhook.account.webhooks["given_up"] += 1

    async def _post(self, webhook: Webhook, timeout: int) -> bool:
        """Send once; return whether the merchant took it. Lets those go that were overtaken."""
        counts = webhook.account.webhooks
        counts["sent"] += 1
        try:
            answer = await self._client.post(
                webhook.url,
                content=webhook.body,
                headers={"content-type": "application/json"},
                timeout=httpx.Timeout(timeout, pool=None),
            )
        except httpx.TransportError:
            is_taken = False
        else:
            is_taken = answer.is_success
        counts["accepted" if is_taken else "refused"] += 1
        overtaken = self._overtaken.pop(webhook.order.id, None)
        if overtaken is not None:
            overtaken.set()
        return is_taken


def waits_after_tries(time_scale: float) -> list[float]:
    """Return the wait in seconds after each refused try; after the last one there is none."""
    return [REDELIVERY_SECONDS * time_scale] * (TRIES_MAX - 1) + [0.0]
