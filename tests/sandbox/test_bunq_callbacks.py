"""bunq's callbacks. Source: fact sheet bunq, sections 4 and 11."""

import base64
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from tests.sandbox.bunq_worlds import (
    HOOK,
    INQUIRIES,
    USER,
    Hooks,
    Till,
    account,
    notices,
    open_till,
    play,
    played,
    shape,
)
from tests.sandbox.worlds import quiet, sample

FAILURES = f"{USER}/notification-filter-failure"


def told(story: str, *categories: str) -> list[tuple[str, str]]:
    """Return event type and status of each callback, or the amount where it is a payment."""
    found = []
    for notice in notices(story, *categories):
        (thing,) = notice["object"].values()
        found.append((notice["event_type"], thing.get("status") or thing["amount"]["value"]))
    return found


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ("paid", [("CREATED", "PENDING"), ("ACCEPTED", "ACCEPTED")]),
        ("expired", [("CREATED", "PENDING"), ("EXPIRED", "EXPIRED")]),
        ("refund", [("CREATED", "PENDING"), ("ACCEPTED", "ACCEPTED")]),
        ("revoked_told_as_accepted", [("CREATED", "PENDING"), ("ACCEPTED", "REVOKED")]),
        ("paid_told_as_rejected", [("CREATED", "PENDING"), ("REJECTED", "ACCEPTED")]),
        ("paid_told_as_updated", [("CREATED", "PENDING"), ("UPDATED", "ACCEPTED")]),
        ("forged_acceptance", [("CREATED", "PENDING"), ("ACCEPTED", "ACCEPTED")]),
    ],
)
def test_each_change_is_told_once_and_not_always_truly(
    story: str, expected: list[tuple[str, str]]
) -> None:
    assert told(story) == [(f"REQUEST_INQUIRY_{event}", word) for event, word in expected]


def test_who_asks_us_to_pay_is_told_in_the_same_category_with_any_event() -> None:
    responses = notices("request_response")[1:]

    assert [list(each["object"]) for each in responses] == [["RequestResponse"]] * 2
    assert [each["event_type"] for each in responses] == [
        "REQUEST_RESPONSE_CREATED",
        "REQUEST_INQUIRY_ACCEPTED",
    ]
    inquiry = notices("request_response")[0]["object"]["RequestInquiry"]
    assert {each["object"]["RequestResponse"]["id"] for each in responses} == {inquiry["id"]}


def test_money_goes_to_mutation_and_what_no_request_brought_to_payment_too() -> None:
    assert told("refund", "MUTATION") == [
        ("MUTATION_RECEIVED", "125.00"),
        ("MUTATION_CREATED", "-125.00"),
    ]
    assert told("refund", "PAYMENT") == [("PAYMENT_CREATED", "-125.00")]
    assert told("silent_refund", "MUTATION") == [("MUTATION_RECEIVED", "125.00")]


@pytest.mark.parametrize("is_signed", [True, False])
async def test_callbacks_are_signed_only_where_the_account_says_so(is_signed: bool) -> None:
    hooks = Hooks()
    async with open_till(hooks, sign_callbacks=is_signed) as till:
        installed = (await till.install()).json()["Response"]
        await play(till, "open")

    (call,) = hooks.calls
    assert call.headers["content-type"] == "application/json"
    assert ("x-bunq-server-signature" in call.headers) == is_signed
    if is_signed:
        key = load_pem_public_key(installed[2]["ServerPublicKey"]["server_public_key"].encode())
        assert isinstance(key, rsa.RSAPublicKey)
        value = base64.b64decode(call.headers["x-bunq-server-signature"], validate=True)
        key.verify(value, call.content, padding.PKCS1v15(), SHA256())


def test_a_callback_is_tried_five_times_more_a_minute_apart() -> None:
    assert account(time_scale=1).patience.waits == (60.0,) * 5
    assert account(time_scale=0.01).patience.waits[0] == pytest.approx(0.6)


async def failures(till: Till) -> list[Any]:
    listed = (await till.get(FAILURES)).json()["Response"]
    return [each["NotificationFilterFailure"] for each in listed]


async def test_after_six_tries_a_callback_is_in_the_failure_list() -> None:
    hooks = Hooks(*[500] * 6)
    async with open_till(hooks, call_limit_factor=100) as till:
        await till.log_in()
        request_id = await play(till, "open")
        answer = (await till.get(FAILURES)).json()
        stats = await quiet(till.http)

    assert len(hooks.calls) == 6
    assert len({call.content for call in hooks.calls}) == 1
    assert stats["webhooks"]["given_up"] == 1
    (failure,) = (each["NotificationFilterFailure"] for each in answer["Response"])
    expected = sample("bunq/failure_list_response")
    assert shape(failure) == shape(expected["Response"][1]["NotificationFilterFailure"])
    assert (failure["object_id"], failure["response_code"]) == (int(request_id), 500)
    assert failure["event_type"] == "REQUEST_INQUIRY_CREATED"


def deaf(_request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectTimeout("nobody answers")


def answering(statuses: list[int]) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _request: httpx.Response(statuses.pop(0))


async def test_no_answer_is_a_failure_without_a_code() -> None:
    async with open_till(deaf, call_limit_factor=100) as till:
        await till.log_in()
        await play(till, "open")
        (failure,) = await failures(till)

    assert failure["response_code"] is None
    assert failure["exception_message"] == "Connection timed out"


async def test_a_sixth_try_that_is_taken_is_no_failure() -> None:
    async with open_till(answering([500] * 5 + [204]), call_limit_factor=100) as till:
        await till.log_in()
        await play(till, "open")

        assert await failures(till) == []


async def test_failed_callbacks_can_be_sent_again() -> None:
    hooks = Hooks(*[500] * 12)
    async with open_till(hooks, call_limit_factor=100) as till:
        await till.log_in()
        await play(till, "paid")
        ids = ",".join(str(each["id"]) for each in await failures(till))
        answer = await till.call("POST", FAILURES, {"notification_filter_failed_ids": ids})
        await quiet(till.http)
        left = await failures(till)

    assert (answer.status_code, left) == (200, [])
    assert len(hooks.calls) == 14
    resent = [event for _, event in hooks.events[12:]]
    assert sorted(resent) == ["REQUEST_INQUIRY_ACCEPTED", "REQUEST_INQUIRY_CREATED"]


async def test_a_resent_callback_that_fails_again_is_listed_again() -> None:
    hooks = Hooks(*[500] * 12)
    async with open_till(hooks, call_limit_factor=100) as till:
        await till.log_in()
        await play(till, "open")
        (first,) = await failures(till)
        ids = {"notification_filter_failed_ids": str(first["id"])}
        await till.call("POST", FAILURES, ids)
        await quiet(till.http)
        (second,) = await failures(till)

    assert second["id"] > first["id"]
    assert second["object_id"] == first["object_id"]


@pytest.mark.parametrize(("ids", "status"), [("", 400), ("1,", 400), ("a", 400), ("1", 404)])
async def test_what_to_send_again_is_checked(ids: str, status: int) -> None:
    async with open_till(call_limit_factor=100) as till:
        await till.log_in()

        answer = await till.call("POST", FAILURES, {"notification_filter_failed_ids": ids})

    assert answer.status_code == status


async def test_at_most_a_hundred_are_sent_again_at_a_time() -> None:
    ids = ",".join(str(number) for number in range(101))
    async with open_till(call_limit_factor=100) as till:
        await till.log_in()

        answer = await till.call("POST", FAILURES, {"notification_filter_failed_ids": ids})

    assert answer.status_code == 400


async def test_a_request_that_the_merchant_makes_and_revokes_is_told_too() -> None:
    hooks = Hooks()
    async with open_till(hooks, call_limit_factor=100) as till:
        await till.log_in()
        created = await till.call("POST", INQUIRIES, sample("bunq/inquiry_create_request"))
        path = f"{INQUIRIES}/{created.json()['Response'][0]['Id']['id']}"
        await till.call("PUT", path, {"status": "REVOKED"})
        await quiet(till.http)

    assert sorted(event for _, event in hooks.events) == [
        "REQUEST_INQUIRY_CREATED",
        "REQUEST_INQUIRY_REVOKED",
    ]


def test_news_is_told_where_a_notification_follows() -> None:
    def news(story: str) -> list[list[str]]:
        holder = account(webhook_url=HOOK)
        played(story, at=holder)
        return [[item.word for item in call.news] for call in holder.take_calls()]

    assert news("refund") == [["PENDING"], ["ACCEPTED"]]
    assert news("paid_told_as_rejected") == [["PENDING"], ["ACCEPTED"]]
    assert news("forged_acceptance") == [["PENDING"], []]
    assert news("request_response") == [["PENDING"], [], []]


async def test_drops_and_duplicates_are_the_senders() -> None:
    for fault, expected in (("drop", 0), ("duplicate", 4)):
        hooks = Hooks()
        async with open_till(hooks, faults={fault: 1.0}) as till:
            await play(till, "paid")

        assert len(hooks.calls) == expected
