"""An order over several providers, from their webhooks to what the ERP is told of it.

Whatever comes first, the registration too, the order ends the same.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import pytest

from service.domain.request import Key, Kind
from service.storage.database import Pool
from tests.flow.persons import credit, link, register, see_to, withdraw
from tests.flow.town import Town, inquiry_path, order_path, town_on
from tests.flow.world import order, order_id
from tests.providers.bunq_bodies import euros, inquiry, paged
from tests.providers.gocardless_bodies import billing_request, payment, step
from tests.providers.table_bunq import PAYMENTS_PATH


@pytest.fixture
async def town(emptied: Pool, shared_url: str) -> AsyncIterator[Town]:
    async with town_on(emptied, shared_url) as made:
        yield made


@dataclass(frozen=True, slots=True)
class Sale:
    """One order of the ERP and what happens to it; number sets its ids apart from other sales'."""

    town: Town
    number: int

    @property
    def reference(self) -> str:
        return f"INV/{self.number}"

    async def is_registered(self, minor: int = 4000) -> None:
        await register(self.town.parts, self.reference, minor)

    async def ginger(self, recorded: str = "order_completed", minor: int = 4000) -> None:
        name = order_id(self.number)
        shown = order(self.number, recorded, amount=minor, reference=self.reference)
        self.town.shows(order_path(name), shown)
        await self.town.told_by_ginger(name)

    async def gocardless(self, status: str = "confirmed", currency: str = "EUR") -> None:
        request, paid_by = f"BRQ{self.number:012d}", f"PM{self.number:012d}"
        asked = {"amount": 4000, "currency": currency, "links": {"payment": paid_by}}
        self.town.shows(
            f"/billing_requests/{request}",
            billing_request(
                id=request,
                payment_request=asked,
                metadata={"order_ref": self.reference},
                links={"payment_request": "PRQ1", "payment_request_payment": paid_by},
            ),
        )
        self.town.shows(
            f"/payments/{paid_by}", payment(status, id=paid_by, amount=4000, currency=currency)
        )
        links = {"billing_request": request}
        await self.town.told_by_gocardless(
            step("fulfilled", id=f"EV{self.number}{status}", links=links)
        )

    async def bunq(self, value: str = "40.00") -> None:
        shown = inquiry(
            id=self.number,
            amount_inquired=euros(value),
            amount_responded=euros(value),
            merchant_reference=self.reference,
        )
        self.town.shows(inquiry_path(self.number), shown)
        self.town.shows(PAYMENTS_PATH, paged())
        await self.town.told_by_bunq(id=self.number)

    async def state(self) -> dict[str, Any]:
        (row,) = await self.town.rows(
            f"select row_to_json(o) from orders as o where reference = '{self.reference}'"
        )
        found: dict[str, Any] = row[0]
        return found

    async def told(self) -> list[dict[str, Any]]:
        """The data of each message about the order."""
        rows = await self.town.rows(
            "select body from notifications where subject = 'order' order by serial"
        )
        bodies = [json.loads(body)["data"] for (body,) in rows]
        return [data for data in bodies if data["reference"] == self.reference]


Step = Callable[[Sale], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Ending:
    status: str
    rule: str
    received: int
    attention: frozenset[str] = frozenset()


OVERPAID = frozenset({"overpaid"})
MISMATCH = frozenset({"currency_mismatch"})
LATE_REGISTRATION = (Sale.is_registered, Sale.ginger)
REPLACED = (Sale.is_registered, lambda sale: sale.ginger("order_expired"), Sale.gocardless)
ALL_FAILED = (Sale.is_registered, lambda sale: sale.ginger("order_expired"))
TWO_PAID = (Sale.is_registered, Sale.ginger, Sale.bunq)
THREE_PAID = (Sale.ginger, Sale.gocardless, Sale.bunq)
SHARED = (
    Sale.is_registered,
    lambda sale: sale.ginger(minor=2500),
    lambda sale: sale.bunq("15.00"),
)
TWO_CURRENCIES = (Sale.is_registered, Sale.ginger, lambda sale: sale.gocardless(currency="GBP"))


@pytest.mark.parametrize(
    ("steps", "ending"),
    [
        (LATE_REGISTRATION, Ending("paid", "net_equals_amount", 4000)),
        (REPLACED, Ending("paid", "net_equals_amount", 4000)),
        (ALL_FAILED, Ending("closed", "no_money_all_ended", 0)),
        (TWO_PAID, Ending("overpaid", "net_exceeds_amount", 8000, OVERPAID)),
        (THREE_PAID, Ending("paid", "amount_unknown_all_paid", 12000)),
        (SHARED, Ending("paid", "net_equals_amount", 4000)),
        (TWO_CURRENCIES, Ending("conflicted", "money_in_another_currency", 4000, MISMATCH)),
    ],
    ids=["late", "replaced", "failed", "two_paid", "unregistered", "shared", "currencies"],
)
async def test_an_order_ends_the_same_in_every_order_of_arrival(
    town: Town, steps: Sequence[Step], ending: Ending
) -> None:
    for number, arrival in enumerate(permutations(steps), start=1):
        sale = Sale(town, number)
        for happens in arrival:
            await happens(sale)

        state, told = await sale.state(), await sale.told()
        assert (state["status"], state["rule"], state["received"]) == (
            ending.status,
            ending.rule,
            ending.received,
        )
        assert ending.attention <= set(state["attention"])
        assert [data["sequence"] for data in told] == list(range(1, len(told) + 1))
        assert (told[-1]["status"], told[-1]["received"]["minor"]) == (
            ending.status,
            ending.received,
        )


async def ends_as(sale: Sale) -> tuple[str, str, list[str]]:
    state = await sale.state()
    return state["status"], state["rule"], sorted(state["attention"])


async def statuses(sale: Sale) -> list[tuple[str, int]]:
    return [(data["status"], data["received"]["minor"]) for data in await sale.told()]


async def test_a_second_payment_is_seen_to_and_a_third_is_not(town: Town) -> None:
    """One expired, its replacement was paid, and then the first link's successor was paid too."""
    sale = Sale(town, 1)
    await sale.is_registered()
    await sale.ginger("order_expired")
    await sale.gocardless()
    assert await ends_as(sale) == ("paid", "net_equals_amount", [])
    await sale.bunq()
    assert await ends_as(sale) == ("overpaid", "net_exceeds_amount", ["overpaid"])

    await see_to(town.parts, "overpaid", reference=sale.reference)
    await sale.gocardless("paid_out")
    assert await ends_as(sale) == ("overpaid", "net_exceeds_amount", [])
    town.shows(order_path(order_id(2)), order(2, reference=sale.reference))
    await town.told_by_ginger(order_id(2))

    assert await ends_as(sale) == ("overpaid", "net_exceeds_amount", ["overpaid"])
    assert await statuses(sale) == [
        ("unpaid", 0),
        ("closed", 0),
        ("paid", 4000),
        ("overpaid", 8000),
        ("overpaid", 8000),
        ("overpaid", 12000),
    ]


async def test_what_is_paid_after_a_withdrawal_is_too_much(town: Town) -> None:
    sale = Sale(town, 1)
    await sale.is_registered()
    await sale.ginger("order_new")
    await withdraw(town.parts, sale.reference)
    assert await ends_as(sale) == ("unpaid", "withdrawn_still_open", [])
    await sale.ginger()
    assert await ends_as(sale) == ("overpaid", "withdrawn_money_kept", ["overpaid"])

    assert [data["withdrawn"] for data in await sale.told()] == [False, True, True]


async def test_a_credit_note_after_a_part_was_paid_makes_the_order_settled(town: Town) -> None:
    sale = Sale(town, 1)
    await sale.is_registered()
    await sale.bunq("15.00")
    assert (await sale.state())["rule"] == "net_below_amount"

    await credit(town.parts, sale.reference, 1500)

    assert (await sale.state())["rule"] == "net_equals_amount_all_booked"
    assert await statuses(sale) == [("unpaid", 0), ("part_paid", 1500), ("settled", 1500)]
    assert (await sale.told())[-1]["amount"]["minor"] == 1500


async def test_a_conflict_ends_when_a_person_moves_the_other_currency_away(town: Town) -> None:
    sale = Sale(town, 1)
    await sale.is_registered()
    await sale.ginger()
    await sale.gocardless(currency="GBP")
    await register(town.parts, "INV/GBP", 4000, currency="GBP")
    assert (await sale.state())["status"] == "conflicted"
    key = Key("gc", Kind.BILLING_REQUEST, f"BRQ{sale.number:012d}")

    await link(town.parts, key, "INV/GBP")
    await sale.gocardless("paid_out", "GBP")

    assert await ends_as(sale) == ("paid", "net_equals_amount", ["currency_mismatch"])
    await see_to(town.parts, "currency_mismatch", reference=sale.reference)
    assert await ends_as(sale) == ("paid", "net_equals_amount", [])
    ((status, received),) = await town.rows(
        "select status, received from orders where reference = 'INV/GBP'"
    )
    assert (status, received) == ("settled", 4000)
    assert [status for status, _ in await statuses(sale)] == [
        "unpaid",
        "paid",
        "conflicted",
        "paid",
    ]
