"""The webhook sender: delivers the accounts' calls, faults included, and again when refused.

Redirects are not followed; any answer but 2xx is a refusal.
"""

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import httpx

from service.sandbox.accounts import Account
from service.sandbox.calls import WebhookCall
from service.sandbox.faults import WebhookFault
from service.sandbox.latency import Latency
from service.sandbox.ledger import PaymentRequest

AnyAccount = Account[Any]


@dataclass(eq=False, slots=True)
class Webhook:
    """One call on its way to the merchant."""

    account: AnyAccount
    call: WebhookCall
    fault: WebhookFault | None


class Sender:
    """Has accounts write down their news, and sends the calls that tell it."""

    def __init__(self, client: httpx.AsyncClient, latency: Latency) -> None:
        self._client = client
        self._latency = latency
        self._overtaken: dict[str, asyncio.Event] = {}
        self._gathering: set[str] = set()
        self.under_way: set[asyncio.Task[None]] = set()

    def tell(self, account: AnyAccount, request: PaymentRequest, *, returns: bool = True) -> None:
        """Tell what is new of a request, at once or gathered; returns: of money that goes back."""
        account.note(request, returns=returns)
        if not account.settings.gather_ms:
            self._plan_all(account)
        elif account.settings.name not in self._gathering:
            self._gathering.add(account.settings.name)
            self._start(self._gather(account))

    def send(self, account: AnyAccount, call: WebhookCall) -> None:
        """Send a call that was given up once more; no fault strikes it."""
        account.webhooks["planned"] += 1
        self._begin(Webhook(account, call, None))

    async def close(self) -> None:
        """Stop everything that is still to be sent."""
        for task in self.under_way:
            task.cancel()
        await asyncio.gather(*self.under_way, return_exceptions=True)

    async def _gather(self, account: AnyAccount) -> None:
        await asyncio.sleep(account.settings.gather_ms / 1000)
        self._gathering.discard(account.settings.name)
        self._plan_all(account)

    def _plan_all(self, account: AnyAccount) -> None:
        for call in account.take_calls():
            self._plan(account, call)

    def _plan(self, account: AnyAccount, call: WebhookCall) -> None:
        fault = account.draws.webhook_fault(account.settings.faults)
        account.webhooks["planned"] += 1
        if fault is not None:
            account.webhooks[fault.value] += 1
        if fault is WebhookFault.DROPPED:
            account.dropped.append(call)
        else:
            self._begin(Webhook(account, call, fault))

    def _begin(self, webhook: Webhook) -> None:
        webhook.account.webhooks["waiting"] += 1
        self._start(self._send(webhook))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)

    async def _send(self, webhook: Webhook) -> None:
        faults, call = webhook.account.settings.faults, webhook.call
        match webhook.fault:
            case WebhookFault.REORDERED:
                await self._wait_to_be_overtaken(call.about[0], faults.reorder_ms / 1000)
            case WebhookFault.LATE:
                await asyncio.sleep(faults.late_ms / 1000)
            case WebhookFault.DUPLICATED:
                await self._post(webhook, webhook.account.patience.first_timeout)
            case _:
                for news in call.news:
                    self._latency.sent(news.provider_id, news.word)
        await self._deliver(webhook)
        webhook.account.webhooks["waiting"] -= 1

    async def _wait_to_be_overtaken(self, about: str, seconds_max: float) -> None:
        overtaken = self._overtaken.setdefault(about, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(overtaken.wait(), seconds_max)

    async def _deliver(self, webhook: Webhook) -> None:
        patience = webhook.account.patience
        timeout = patience.first_timeout
        for wait_seconds in (*patience.waits, 0.0):
            if await self._post(webhook, timeout):
                return
            for news in webhook.call.news:
                self._latency.disturbed(news.provider_id, news.word)
            timeout = patience.later_timeout
            await asyncio.sleep(wait_seconds)
        webhook.account.webhooks["given_up"] += 1
        webhook.account.given_up(webhook.call)

    async def _post(self, webhook: Webhook, timeout: float) -> bool:
        """Send once; return whether the merchant took it. Lets those go that were overtaken."""
        counts, call = webhook.account.webhooks, webhook.call
        counts["sent"] += 1
        try:
            answer = await self._client.post(
                call.url,
                content=call.body,
                headers=call.headers,
                timeout=httpx.Timeout(timeout, pool=None),
            )
        except httpx.TransportError:
            is_taken = False
            webhook.account.answered(call, None)
        else:
            is_taken = answer.is_success
            webhook.account.answered(call, answer.status_code)
        counts["accepted" if is_taken else "refused"] += 1
        for request_id in call.about:
            overtaken = self._overtaken.pop(request_id, None)
            if overtaken is not None:
                overtaken.set()
        return is_taken
