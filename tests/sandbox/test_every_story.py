"""What holds for every story of every twin, at each entry of its ledger as the newest one."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest

from service.sandbox.accounts import Account
from service.sandbox.app import create_app
from service.sandbox.ginger.happenings import MOVEMENT_OF
from service.sandbox.ginger.links import PaymentLink
from service.sandbox.ledger import PaymentRequest
from service.sandbox.truth import Truth
from service.sandbox.twins import TWINS
from tests.sandbox import bunq_worlds, gocardless_worlds, ing_worlds, payment_requests_v2_worlds
from tests.sandbox.payment_requests_v2_worlds import Clock
from tests.sandbox.worlds import KEY, PROJECT_ID, Merchant

# No read is to meet a rate limit.
FREELY = {"call_limit_factor": 10_000}
SETTINGS: dict[str, dict[str, object]] = {
    "bunq": {**bunq_worlds.SETTINGS},
    "ginger": {"name": "ginger-nl", "api_key": KEY, "project_id": PROJECT_ID},
    "gocardless": {**gocardless_worlds.SETTINGS},
    "ing_payment_request": {
        "name": "ing",
        "provider": "ing_payment_request",
        "client_id": ing_worlds.CLIENT_ID,
    },
    "payment_requests_v2": {**payment_requests_v2_worlds.SETTINGS},
}
STORIES = [(provider, story) for provider, twin in TWINS.items() for story in twin.make.stories]
STATUSES = {
    *("created", "open", "authorising", "accepted", "processing", "part_paid", "paid", "settled"),
    *("rejected", "failed", "cancelled", "expired", "reversed", "held"),
}


@asynccontextmanager
async def provider_at(
    name: str, clock: Clock
) -> AsyncIterator[tuple[Account[Any], httpx.AsyncClient]]:
    """Open an account at a twin, and a client of its API."""
    app = create_app(transport=httpx.MockTransport(Merchant()), now=clock)
    wire = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=wire, base_url="http://sandbox") as client:
        answer = await client.post("/sandbox/accounts", json=SETTINGS[name] | FREELY)
        assert answer.status_code == 201, answer.text
        (account,) = app.state.world.accounts.values()
        yield account, client


def pictures(request: PaymentRequest) -> Iterator[None]:
    """Make a request what it was after each of its entries, from none of them on."""
    attempts = request.attempts if isinstance(request, PaymentLink) else []
    whole = [(part, part.entries) for part in (request, *attempts)]
    moments = sorted(entry.at for _, entries in whole for entry in entries)
    for moment in (request.created_at - timedelta(seconds=1), *moments):
        for part, entries in whole:
            part.entries = [entry for entry in entries if entry.at <= moment]
        if isinstance(request, PaymentLink):
            request.attempts = [each for each in attempts if each.created_at <= moment]
        yield


def played(account: Account[Any], story: str, clock: Clock, *, amount: int) -> PaymentRequest:
    """Return a request with every beat of a story played on it, a second apart, and noted."""
    told = account.stories[story]
    request = account.ask(told, reference="INV-1", amount=amount, currency="EUR", at=clock.now)
    account.note(request, returns=told.tells_returns)
    for beat in told.beats(has_money=False):
        clock.now += timedelta(seconds=1)
        beat.act(request, clock.now)
        account.note(request, returns=told.tells_returns)
    return request


@pytest.mark.parametrize("amount", [2, 7000])
@pytest.mark.parametrize(("provider", "story"), STORIES)
async def test_truths_are_sound_and_move_by_money_alone_once_they_are_final(
    provider: str, story: str, amount: int
) -> None:
    """A payment of GoCardless that failed for good may be tried again: STATUSES.md, 2, point 3."""
    clock = Clock()
    async with provider_at(provider, clock) as (account, _):
        request = played(account, story, clock, amount=amount)
        truths = [truth for _ in pictures(request) if (truth := account.truth(request))]

    for truth in truths:
        assert truth.status in STATUSES
        assert 0 <= truth.taken_back <= truth.refunded
        assert 0 <= truth.booked <= truth.received
        assert (truth.status == "reversed") == (0 < truth.received <= truth.refunded)
    for before, after in pairwise(truths):
        assert before.received <= after.received
        is_same = (before.status, before.final) == (after.status, after.final)
        may_be_tried_again = provider == "gocardless" and before.status == "failed"
        assert is_same or not before.final or may_be_tried_again or money(before) != money(after)


def money(truth: Truth) -> tuple[int, ...]:
    return truth.received, truth.refunded, truth.taken_back, truth.booked


async def log_in(provider: str, client: httpx.AsyncClient) -> None:
    match provider:
        case "bunq":
            till = bunq_worlds.Till(client)
            await till.log_in()
            client.headers["x-bunq-client-authentication"] = till.token
            client.headers["cache-control"] = "no-cache"
        case "ginger":
            client.auth = (KEY, "")
        case "gocardless":
            client.headers.update(gocardless_worlds.HEADERS)
        case "ing_payment_request":
            await ing_worlds.log_in(client)
        case "payment_requests_v2":
            client.headers["authorization"] = f"Bearer {payment_requests_v2_worlds.TOKEN}"
        case _:
            raise AssertionError(f"nobody has said how to log in to {provider}")


def ginger_paths(request: PaymentRequest) -> list[str]:
    if isinstance(request, PaymentLink):
        attempts = [path for attempt in request.attempts for path in ginger_paths(attempt)]
        return [f"/v1/paymentlinks/{request.id}/", *attempts]
    counter_orders = [entry.subject for entry in request.entries if entry.what in MOVEMENT_OF]
    orders = [f"/v1/orders/{each}/" for each in (request.id, *counter_orders)]
    return [*orders, f"{orders[0]}?fields[]=amount_details", f"{orders[0]}refunds/"]


# The provider's own reads of a request. A payment of GoCardless is found through its request.
PATHS: dict[str, Callable[[PaymentRequest], list[str]]] = {
    "bunq": lambda request: [f"{bunq_worlds.INQUIRIES}/{request.id}"],
    "ginger": ginger_paths,
    "gocardless": lambda request: [f"/billing_requests/{request.id}"],
    "ing_payment_request": lambda request: [
        f"/payment-requests/{request.id}",
        f"/payment-requests/{request.id}/payments",
    ],
    "payment_requests_v2": lambda request: [
        f"{payment_requests_v2_worlds.PATH}/{request.id}?client_account_id=123"
    ],
}


@pytest.mark.parametrize(("provider", "story"), STORIES)
async def test_a_read_is_answered_at_every_entry(provider: str, story: str) -> None:
    clock = Clock()
    async with provider_at(provider, clock) as (account, client):
        await log_in(provider, client)
        request = played(account, story, clock, amount=7000)
        for _ in pictures(request):
            for path in PATHS[provider](request):
                answer = await client.get(path)
                assert answer.status_code == 200, (path, answer.text)
                # A payment is named before it is there. Source: STATUSES.md, section 2.
                for payment in re.findall(r'"payment_request_payment":"(\w+)"', answer.text):
                    assert (await client.get(f"/payments/{payment}")).status_code in (200, 404)
