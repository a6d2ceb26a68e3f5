"""Who gets bunq's callbacks: notification filters. Source: fact sheet bunq, section 4."""

from typing import Any

import pytest

from tests.sandbox.bunq_worlds import ACCOUNT, FILTERS, HOOK, Hooks, open_till, play, shape
from tests.sandbox.worlds import sample


def filters(*wishes: tuple[str, str]) -> dict[str, Any]:
    listed = [{"category": category, "notification_target": url} for category, url in wishes]
    return {"notification_filters": listed}


async def test_filters_are_listed_and_replaced_as_a_whole() -> None:
    async with open_till(call_limit_factor=100) as till:
        await till.log_in()
        before = (await till.get(FILTERS)).json()["Response"]
        posted = await till.call("POST", FILTERS, sample("bunq/url_request"))
        listed = (await till.get(FILTERS)).json()
        await till.call("POST", FILTERS, filters())
        after = (await till.get(FILTERS)).json()["Response"]

    implied = before[0]["NotificationFilterUrl"]
    assert (implied["category"], implied["notification_target"]) == ("REQUEST", HOOK)
    assert shape(posted.json()) == shape(sample("bunq/url_response"))
    assert (listed, after) == (posted.json(), [])


async def test_callbacks_go_where_the_filters_of_user_and_account_say() -> None:
    hooks = Hooks()
    async with open_till(hooks, call_limit_factor=100) as till:
        await till.log_in()
        both = filters(("REQUEST", "https://a.example/"), ("REQUEST", "https://b.example/"))
        await till.call("POST", FILTERS, both)
        own = filters(("MUTATION", "https://c.example/"), ("REQUEST", "https://a.example/"))
        await till.call("POST", f"{ACCOUNT}/notification-filter-url", own)
        await play(till, "paid")

    created, accepted = "REQUEST_INQUIRY_CREATED", "REQUEST_INQUIRY_ACCEPTED"
    assert sorted(hooks.events) == [
        ("https://a.example/", accepted),
        ("https://a.example/", created),
        ("https://b.example/", accepted),
        ("https://b.example/", created),
        ("https://c.example/", "MUTATION_RECEIVED"),
    ]


async def test_who_removes_all_filters_hears_nothing() -> None:
    hooks = Hooks()
    async with open_till(hooks, call_limit_factor=100) as till:
        await till.log_in()
        await till.call("POST", FILTERS, filters())
        await play(till, "paid")

    assert hooks.calls == []


@pytest.mark.parametrize(
    "wrong",
    [
        filters(*[("REQUEST", f"https://{host}.example/") for host in "abc"]),
        filters(("REQUEST", "http://hooks.example/")),
        filters(("REQUEST", "ftp://hooks.example/")),
        filters(("", "https://hooks.example/")),
        {"notification_filters": {}},
        {},
    ],
)
async def test_filters_are_checked(wrong: object) -> None:
    async with open_till(call_limit_factor=100) as till:
        await till.log_in()
        answer = await till.call("POST", FILTERS, wrong)
        kept = (await till.get(FILTERS)).json()["Response"]

    assert answer.status_code == 400
    assert len(kept) == 1


async def test_two_urls_per_category_and_one_on_this_machine_are_fine() -> None:
    wishes = filters(
        ("REQUEST", "https://a.example/"),
        ("REQUEST", "http://127.0.0.1:8080/webhooks/bunq-main"),
        ("MUTATION", "https://a.example/"),
    )
    async with open_till(call_limit_factor=100) as till:
        await till.log_in()

        assert (await till.call("POST", FILTERS, wishes)).status_code == 200
