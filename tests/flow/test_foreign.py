"""What is none of our business: kept as evidence, read by nobody."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.storage.database import Pool
from tests.flow.town import Town, order_path, town_on
from tests.flow.world import order, order_id
from tests.providers.gocardless_bodies import PAYMENT, event

THEIRS = "00000000-3514-403b-8c43-83ae74cfe0e9"


@pytest.fixture
async def town(emptied: Pool, shared_url: str) -> AsyncIterator[Town]:
    async with town_on(emptied, shared_url) as made:
        yield made


async def left_alone(town: Town, reason: str) -> None:
    """Check that the event is kept with its body, made nobody look, and cost no call."""
    assert await town.inbox() == [("set_aside", reason)]
    assert await town.rows("select body_sha256 = sha256(body) from events, event_bodies") == [
        (True,)
    ]
    assert (await town.due(), town.calls) == ([], [])


async def test_an_event_of_a_foreign_project_costs_no_call(town: Town) -> None:
    town.shows(order_path(order_id(1)), order(1, project_id=THEIRS))

    await town.told_by_ginger(order_id(1), project_id=THEIRS)

    await left_alone(town, "foreign_project")


async def test_a_foreign_order_that_no_event_gave_away_is_told_to_nobody_and_left(
    town: Town,
) -> None:
    """Some brands name no project in their calls: only a read can tell, and one is enough."""
    town.shows(order_path(order_id(1)), order(1, project_id=THEIRS))

    await town.told("ginger", {"event": "status_changed", "order_id": order_id(1)})
    await town.next_look()

    assert town.calls == [order_path(order_id(1))]
    assert await town.due() == [(order_id(1), "foreign_project")]
    assert (await town.statuses(), await town.moves()) == ([], [])


@pytest.mark.parametrize("action", ["confirmed", "failed", "charged_back"])
async def test_an_event_of_a_foreign_organisation_costs_no_call(town: Town, action: str) -> None:
    links = {"payment": PAYMENT, "organisation": "OR2"}

    await town.told_by_gocardless(event(action, links=links))

    await left_alone(town, "foreign_organisation")


async def test_foreign_organisations_in_a_call_do_not_keep_ours_from_being_read(
    town: Town,
) -> None:
    foreign = event(id="EV1", links={"payment": "PM1", "organisation": "OR2"})
    ours = event(id="EV2", links={"payment": PAYMENT, "organisation": "OR1"})

    await town.told_by_gocardless(foreign, ours)

    assert sorted(await town.inbox()) == [("accepted", None), ("set_aside", "foreign_organisation")]
    assert await town.due() == [(PAYMENT, "unclaimed")]


@pytest.mark.parametrize(
    ("name", "thing", "reason"),
    [
        ("RequestResponse", {"id": 2025724}, "opposite_direction"),
        ("Payment", {"id": 7}, "unneeded_object"),
        ("RequestInquiry", {"id": 2025724, "monetary_account_id": 1}, "foreign_account"),
    ],
)
async def test_the_opposite_direction_and_other_accounts_cost_no_call(
    town: Town, name: str, thing: dict[str, Any], reason: str
) -> None:
    await town.told_by_bunq(name, **thing)

    await left_alone(town, reason)
