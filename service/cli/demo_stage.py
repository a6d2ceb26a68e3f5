"""Plays a demo: orders at the provider, registrations from the ERP, and the wait for the end."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from service.cli.demo_accounts import CALL_LIMIT_FACTOR, DemoAccount
from service.cli.demo_api import (
    Api,
    Arrival,
    Coverage,
    Endpoint,
    Feed,
    Inbox,
    Latency,
    Made,
    Message,
    Page,
    State,
    Stats,
    Truth,
)
from service.cli.demo_checks import (
    Check,
    Drift,
    check_sequence,
    check_state,
    check_told_once,
    check_webhooks,
    find_drift,
    transitions_by_cause,
)
from service.cli.demo_plan import Introduction, Plan, PlannedOrder, PlannedRequest
from service.cli.demo_processes import Processes, Running
from service.errors import Unavailable

CURRENCY = "EUR"

# A refused webhook comes again within a second instead of minutes: none should be refused.
TIME_SCALE = 1 / 240

# Between two looks at what only asking tells.
LOOK_SECONDS = 0.2

# A process that is just ending says more than the connection that broke: we wait for its end.
LAST_WORDS_SECONDS = 0.5

# The defects that the sandbox's ERP has a switch for.
ERP_DEFECTS = {"drop-notification": {"forget": 1}, "double-notification": {"double": 1}}


@dataclass(frozen=True, slots=True)
class Score:
    """How far a demo is."""

    played: int
    webhooks: int
    transitions: int
    notifications: int


@dataclass(frozen=True, slots=True)
class Picture:
    """What sandbox and product told at one moment. backlog is what the ERP still waits for."""

    stats: Stats
    requests: int
    orders: int
    drifting: Sequence[Drift]
    backlog: int

    @property
    def is_settled(self) -> bool:
        """Whether the product knows what the ledger says and has told all of it."""
        return self.stats.is_quiet and not self.drifting and not self.backlog


@dataclass(frozen=True, slots=True)
class Ending:
    """How a demo ended. stories are by account and the provider's id of the request."""

    plan: Plan
    stories: Mapping[tuple[str, str], PlannedRequest]
    picture: Picture
    latency: Latency
    feed: Sequence[Message]
    arrivals: Sequence[Arrival]
    checks: Sequence[Check]
    started_at: datetime
    ended_at: datetime

    @property
    def failed(self) -> list[str]:
        """The names of the checks that do not hold."""
        return [check.name for check in self.checks if not check.ok]


async def play(
    plan: Plan, processes: Processes, *, show: Callable[[Score], None], started_at: datetime
) -> Ending:
    """Play a plan to its end and judge it.

    show is called with the score whenever there is news of it. Raises Unavailable as soon as a
    process has ended, or does not come up.
    """
    async with (
        Api(processes.sandbox_url) as sandbox,
        Api(processes.product_url, key=processes.keys.api_key) as product,
    ):
        stage = Stage(plan, processes, sandbox, product, show)
        try:
            await processes.sandbox.wait_until_ready()
            orders = await stage.open()
            await processes.product.wait_until_ready()
            await stage.wait_for_first_sweep()
            for order in orders:
                await stage.introduce(order)
            picture = await stage.wait()
            latency = await sandbox.get("/sandbox/latency", Latency)
        except Unavailable:
            await asyncio.sleep(LAST_WORDS_SECONDS)
            processes.check()
            raise
    feed, arrivals = stage.feed.messages, stage.inbox.arrivals
    checks = (
        check_state(picture.drifting, orders=picture.orders, requests=picture.requests),
        check_told_once(feed, arrivals),
        check_sequence(arrivals),
        check_webhooks(picture.stats.webhooks),
    )
    return Ending(
        plan,
        stage.stories,
        picture,
        latency,
        feed,
        arrivals,
        checks,
        started_at,
        ended_at=datetime.now(UTC),
    )


class Stage:
    """One demo under way: makes orders, registers them, looks and compares."""

    def __init__(
        self,
        plan: Plan,
        processes: Running,
        sandbox: Api,
        product: Api,
        show: Callable[[Score], None],
    ) -> None:
        self._plan = plan
        self._processes = processes
        self._sandbox = sandbox
        self._product = product
        self._show = show
        self._shown_at = 0.0
        self._accounts = {account.provider: account for account in processes.accounts}
        self._registered: dict[str, int] = {}  # amounts, by reference
        self._played: set[str] = set()
        self.stories: dict[tuple[str, str], PlannedRequest] = {}
        self.feed = Feed(product)
        self.inbox = Inbox(sandbox)

    async def open(self) -> list[PlannedOrder]:
        """Open the accounts at the providers and the ERP's door; return the orders to play."""
        keys, broken = self._processes.keys, self._plan.broken
        await self._sandbox.post("/sandbox/erp/secrets", {"secrets": [keys.erp_secret]})
        await self._sandbox.post("/sandbox/erp/behaviour", ERP_DEFECTS.get(broken or "", {}))
        for account in self._processes.accounts:
            await self._open(account)
        stories = await self._sandbox.get("/sandbox/stories", dict[str, list[str]])
        return self._plan.deal({name: stories[name] for name in self._accounts})

    async def wait_for_first_sweep(self) -> None:
        """Return once the product has looked through all lists: its workers are up."""
        while True:
            coverage = (await self._product.get("/v1/coverage", Page[Coverage])).data
            waiting = {each.account for each in coverage if not each.complete_up_to}
            if waiting <= {self._accounts["ing_payment_request"].name}:  # it has no list
                return
            self._processes.check()
            await asyncio.sleep(LOOK_SECONDS)

    async def introduce(self, order: PlannedOrder) -> None:
        """Begin an order, and look around now and then. Not for several at a time; see begin."""
        await self.begin(order)
        if time.monotonic() - self._shown_at > LOOK_SECONDS:
            await self._look(wait_seconds=0)

    async def begin(self, order: PlannedOrder) -> None:
        """Begin an order's stories, and let the ERP register it if and when its plan says so."""
        self._processes.check()
        if order.introduction is Introduction.BEFORE_REQUEST:
            await self._register(order, [])
        asked = [await self._ask(order, request) for request in order.requests]
        if order.introduction is Introduction.WITH_REQUEST:
            await self._register(order, asked)
        if order.introduction is Introduction.TRACKED:
            for request in asked:
                await self._product.post("/v1/requests", request)
        self._played.add(order.reference)

    async def wait(self) -> Picture:
        """Wait for the last webhook, then until all is settled or nothing moves for too long.

        What moves is a notification, or an order that stops or starts to differ from the ledger.
        """
        gives_up_at = time.monotonic() + self._plan.seconds_max
        while not (await self._look(wait_seconds=1)).is_quiet:
            if time.monotonic() > gives_up_at:
                break
        moved_at, seen = time.monotonic(), None
        while True:
            picture = await self._picture()
            marks = (len(self.feed.messages), len(self.inbox.arrivals), picture.drifting)
            if marks != seen:
                moved_at, seen = time.monotonic(), marks
            stuck_at = min(gives_up_at, moved_at + self._plan.patience_seconds)
            if picture.is_settled or time.monotonic() > stuck_at:
                await self._look(wait_seconds=0)
                return picture
            await asyncio.sleep(LOOK_SECONDS)

    async def _open(self, account: DemoAccount) -> None:
        """Open an account at its provider."""
        settings: dict[str, object] = {
            "name": account.name,
            "provider": account.provider,
            "faults": self._plan.provider_faults,
            "seed": self._plan.seed,
            "time_scale": TIME_SCALE,
            "call_limit_factor": CALL_LIMIT_FACTOR,
            **account.settings,
        }
        if account.webhook_path is not None:
            wrong_path = "/elsewhere" if self._plan.broken == "refuse-webhooks" else ""
            settings["webhook_url"] = (
                self._processes.product_url + account.webhook_path + wrong_path
            )
        await self._sandbox.post("/sandbox/accounts", settings)

    async def _ask(self, order: PlannedOrder, request: PlannedRequest) -> dict[str, str]:
        """Have a provider make a request and begin its story; return how the ERP names it."""
        account = self._accounts[request.provider].name
        asked = {
            "reference": order.reference,
            "story": request.story,
            "amount": order.amount,
            "currency": CURRENCY,
        }
        answer = await self._sandbox.post(f"/sandbox/accounts/{account}/requests", asked)
        (made,) = msgspec.json.decode(answer, type=list[Made])
        if self._plan.broken == "wrong-ledger" and not self.stories:
            unseen = {"provider_id": made.provider_id, "amount": 1}
            await self._sandbox.post(f"/sandbox/accounts/{account}/unseen", unseen)
        self.stories[account, made.provider_id] = request
        return {"account": account, "kind": made.kind, "provider_id": made.provider_id}

    async def _register(self, order: PlannedOrder, requests: Sequence[object]) -> None:
        self._registered[order.reference] = order.amount
        amount = {"currency": CURRENCY, "minor": order.amount}
        asked = {"reference": order.reference, "amount": amount, "requests": requests}
        await self._product.post("/v1/orders", asked)

    async def _look(self, *, wait_seconds: int) -> Stats:
        """Read on in feed and inbox and show the score.

        Waits up to wait_seconds for all stories and webhooks to be over.
        """
        self._processes.check()
        stats = await self._sandbox.get("/sandbox/stats", Stats, wait=wait_seconds)
        await self.feed.read_on()
        await self.inbox.read_on()
        self._shown_at = time.monotonic()
        self._show(
            Score(
                played=max(0, len(self._played) - stats.playing),
                webhooks=stats.webhooks.sent,
                transitions=transitions_by_cause(self.feed.messages).total(),
                notifications=len(self.inbox.arrivals),
            )
        )
        return stats

    async def _picture(self) -> Picture:
        """Compare what the product knows with the ledger."""
        stats = await self._look(wait_seconds=0)
        truths = await self._sandbox.get("/sandbox/truth", list[Truth])
        requests = await self._product.pages("/v1/requests", Page[State])
        orders = await self._product.pages("/v1/orders", Page[State])
        endpoints = await self._product.get("/v1/endpoints", Page[Endpoint])
        drifting = find_drift(truths, requests, orders, registered=self._registered)
        backlog = sum(endpoint.backlog for endpoint in endpoints.data)
        return Picture(stats, len(requests), len(orders), drifting, backlog)
