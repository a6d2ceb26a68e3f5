"""A person has seen to it: the code goes, and only something new raises it again."""

from collections.abc import Mapping
from typing import Any

import pytest

from service.errors import Conflict, Stale
from service.flow.acknowledge import Acknowledgement, acknowledge_order
from service.storage.views.orders import find_order
from service.storage.views.requests import find_request
from service.storage.views.timeline import list_timeline
from tests.flow.persons import WHO, credit, id_of, link, register, see_to, see_to_request, withdraw
from tests.flow.world import World, key_of, order, order_id, refund


async def attention(world: World, reference: str = "INV-1043") -> list[str]:
    return sorted((await world.order(reference))["attention"])


async def attention_of_request(world: World, number: int) -> list[str]:
    """What the API shows at a request: its own codes and those of its order."""
    shown = await find_request(world.pool, await id_of(world.parts, key_of(number)))
    assert shown is not None
    return list(shown["attention"])


async def read_often(world: World, *numbers: int) -> None:
    """Read orders again in ways that find nothing new: together, alone, and by the poll."""
    await world.read(*numbers)
    for number in numbers:
        await world.read(number)
    await world.let_time_pass()
    await world.sync()


def in_dollars(shown: dict[str, Any]) -> dict[str, Any]:
    """The same order in another currency."""
    transactions = [one | {"currency": "USD"} for one in shown["transactions"]]
    return shown | {"currency": "USD", "transactions": transactions}


async def overpaid(world: World, *more: Mapping[str, object]) -> None:
    """40.00 are owed, and two requests have brought 60.00."""
    await register(world.parts, "INV-1043", 4000, key_of(1), key_of(2))
    world.provider.shows(order(1), order(2, amount=2000), *more)
    await world.sync()
    assert await attention(world) == ["overpaid"]


async def test_a_code_goes_with_who_has_seen_to_it_when_and_why(world: World) -> None:
    await overpaid(world)
    assert await attention_of_request(world, 1) == ["overpaid"]

    await see_to(world.parts, "overpaid", reference="INV-1043")

    assert await attention(world) == []
    assert await attention_of_request(world, 1) == []
    shown = await find_order(world.pool, "INV-1043")
    assert shown is not None
    (decision,) = shown["decisions"]
    assert decision.pop("at").endswith("Z")
    assert decision == {
        "what": "acknowledgement",
        "who": WHO,
        "reason": "looked into",
        "code": "overpaid",
    }


async def test_reads_that_find_nothing_new_do_not_raise_it_again(world: World) -> None:
    await overpaid(world)
    await see_to(world.parts, "overpaid", reference="INV-1043")

    await read_often(world, 1, 2)

    assert await attention(world) == []


async def test_news_that_leave_the_sums_alone_do_not_raise_it_again(world: World) -> None:
    """A third request comes, stays unpaid and expires; the order is added up each time."""
    await overpaid(world)
    await see_to(world.parts, "overpaid", reference="INV-1043")

    world.provider.shows(order(3, "order_new"))
    await world.read(3)
    world.provider.shows(order(3, "order_expired", minute=5))
    await world.read(3)

    assert len((await find_order(world.pool, "INV-1043") or {})["requests"]) == 3
    assert await attention(world) == []


async def test_other_sums_raise_it_again(world: World) -> None:
    await overpaid(world)
    await see_to(world.parts, "overpaid", reference="INV-1043")

    world.provider.shows(order(3, amount=1000))
    await world.read(3)
    assert await attention(world) == ["overpaid"]
    await see_to(world.parts, "overpaid", reference="INV-1043")
    await read_often(world, 1, 2, 3)

    assert await attention(world) == []


async def test_sums_that_went_and_came_back_raise_it_again(world: World) -> None:
    await overpaid(world)
    await see_to(world.parts, "overpaid", reference="INV-1043")

    await credit(world.parts, "INV-1043", 6000)
    assert (await world.order())["status"] == "paid"
    await credit(world.parts, "INV-1043", 4000)

    assert await attention(world) == ["overpaid"]


async def test_what_nobody_saw_to_stays_after_its_sums_have_gone(world: World) -> None:
    await overpaid(world)
    await credit(world.parts, "INV-1043", 6000)
    assert await attention(world) == ["overpaid"]

    await see_to(world.parts, "overpaid", reference="INV-1043")
    await read_often(world, 1, 2)

    assert await attention(world) == []


async def test_a_withdrawal_raises_what_was_seen_to_when_less_was_too_much(world: World) -> None:
    await overpaid(world)
    await see_to(world.parts, "overpaid", reference="INV-1043")

    await withdraw(world.parts, "INV-1043")

    assert (await attention(world), (await world.order())["rule"]) == (
        ["overpaid"],
        "withdrawn_money_kept",
    )


async def test_another_asked_amount_is_seen_to_until_another_is_expected(world: World) -> None:
    await register(world.parts, "INV-1043", 5000, key_of(1))
    world.provider.shows(order(1))
    await world.sync()
    assert await attention(world) == ["amount_mismatch"]
    await see_to(world.parts, "amount_mismatch", reference="INV-1043")
    await read_often(world, 1)
    assert await attention(world) == []

    await credit(world.parts, "INV-1043", 4500)

    assert await attention(world) == ["amount_mismatch"]


async def test_money_in_another_currency_is_seen_to_also_when_it_is_given_back(
    world: World,
) -> None:
    await register(world.parts, "INV-1043", 4000, key_of(1))
    world.provider.shows(in_dollars(order(1)))
    await world.sync()
    assert (await world.order())["rule"] == "money_in_another_currency"
    await see_to(world.parts, "currency_mismatch", reference="INV-1043")

    world.provider.shows(
        in_dollars(order(1, refund_orders=[order_id(9)], minute=3)),
        in_dollars(refund(9, of=1, amount=4000)),
    )
    await read_often(world, 1)
    assert await attention(world) == []
    world.provider.shows(in_dollars(order(2)))
    await world.read(2)

    assert await attention(world) == ["currency_mismatch"]


async def test_two_payments_without_an_amount_are_seen_to_until_a_third_comes(
    world: World,
) -> None:
    world.provider.shows(order(1), order(2))
    await world.read(1, 2)
    await see_to(world.parts, "amount_unknown", reference="INV-1043")
    await read_often(world, 1, 2)
    assert await attention(world) == []

    world.provider.shows(order(3))
    await world.read(3)

    assert await attention(world) == ["amount_unknown"]


async def test_one_code_of_two_goes_and_the_other_stays(world: World) -> None:
    await overpaid(world, in_dollars(order(3)))
    await world.read(3)
    assert await attention(world) == ["currency_mismatch", "overpaid"]

    await see_to(world.parts, "overpaid", reference="INV-1043")

    assert await attention(world) == ["currency_mismatch"]


async def test_an_older_picture_is_seen_to_until_the_provider_shows_another(world: World) -> None:
    world.provider.shows(order(1))
    await world.read(1)
    world.provider.shows(order(1, "order_new", minute=9))
    await world.read(1)
    await see_to_request(world.parts, "regression_refused", key=key_of(1))

    await read_often(world, 1)
    world.provider.shows(order(1, minute=10))
    await read_often(world, 1)
    world.provider.shows(order(1, "order_new", minute=11))
    await read_often(world, 1)
    assert await attention_of_request(world, 1) == []
    world.provider.shows(order(1, "order_error", minute=12))
    await world.read(1)

    assert await attention_of_request(world, 1) == ["regression_refused"]
    assert await world.status(1) == "paid"


async def test_late_money_is_seen_to_once(world: World) -> None:
    world.provider.shows(order(1, "order_expired"))
    await world.read(1)
    world.provider.shows(order(1, minute=5))
    await world.read(1)
    assert await attention_of_request(world, 1) == ["late_money"]

    await see_to_request(world.parts, "late_money", key=key_of(1))
    await read_often(world, 1)

    assert await attention_of_request(world, 1) == []
    entries = (
        await list_timeline(world.pool, await id_of(world.parts, key_of(1)), after=None, limit=50)
    ).items
    (seen_to,) = [entry for entry in entries if entry["what"] == "acknowledgement"]
    assert (seen_to["code"], seen_to["who"], seen_to["reason"]) == (
        "late_money",
        WHO,
        "looked into",
    )


async def test_money_that_went_back_twice_is_seen_to_until_more_goes(world: World) -> None:
    world.provider.shows(
        order(1, refund_orders=[order_id(8), order_id(9)], minute=3),
        refund(8, of=1, amount=3000),
        refund(9, of=1, amount=2000),
    )
    await world.read(1)
    assert "taken_back_twice" in await attention_of_request(world, 1)
    await see_to_request(world.parts, "taken_back_twice", key=key_of(1))
    await read_often(world, 1)
    assert "taken_back_twice" not in await attention_of_request(world, 1)

    world.provider.shows(
        order(1, refund_orders=[order_id(8), order_id(9), order_id(7)], minute=4),
        refund(7, of=1, amount=500),
    )
    await world.read(1)

    assert "taken_back_twice" in await attention_of_request(world, 1)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("unmapped_status", ("condition_lasts", "goes by itself")),
        ("overpaid", ("raised_at_order", "/v1/orders/{reference}/acknowledge")),
        ("late_money", ("no_such_code", "overpaid, regression_refused, unmapped_status")),
    ],
)
async def test_what_a_person_cannot_see_to_at_a_request_is_a_conflict(
    world: World, code: str, expected: tuple[str, str]
) -> None:
    await overpaid(world)
    await world.run("update requests set attention = '{unmapped_status,regression_refused}'")

    with pytest.raises(Conflict) as refused:
        await see_to_request(world.parts, code, key=key_of(1))

    assert refused.value.code == expected[0]
    assert expected[1] in refused.value.detail
    assert await world.value("select count(*) from decisions") == 0


async def test_a_code_that_an_order_does_not_have_is_a_conflict_that_names_those_it_has(
    world: World,
) -> None:
    await overpaid(world)

    with pytest.raises(Conflict, match="it has overpaid"):
        await see_to(world.parts, "amount_mismatch", reference="INV-1043")
    await see_to(world.parts, "overpaid", reference="INV-1043")
    with pytest.raises(Conflict, match="it has none"):
        await see_to(world.parts, "overpaid", reference="INV-1043")

    assert await world.value("select count(*) from decisions") == 1


async def test_who_names_the_version_that_they_saw_does_not_see_to_a_later_one(
    world: World,
) -> None:
    await overpaid(world)
    seen = (await world.order())["version"]
    world.provider.shows(order(3))
    await world.read(3)

    with pytest.raises(Stale):
        await acknowledge_order(
            world.pool,
            reference="INV-1043",
            acknowledgement=Acknowledgement("overpaid", "seen", WHO, world.parts.now()),
            versions=frozenset({seen}),
            endpoints=(),
        )

    assert await attention(world) == ["overpaid"]


async def test_a_request_takes_no_acknowledgement_along_to_another_order(world: World) -> None:
    await overpaid(world)
    await see_to(world.parts, "overpaid", reference="INV-1043")
    await register(world.parts, "INV-2", 1000)

    await link(world.parts, key_of(2), "INV-2")

    assert (await attention(world), await attention(world, "INV-2")) == (
        [],
        ["amount_mismatch", "overpaid"],
    )
