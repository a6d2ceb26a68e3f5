"""bunq: pages, windows, looking through, and calls that are sent again."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.request import Listing
from service.domain.status import Status
from service.errors import SettledError, TooManyCalls, Unauthorised, Unavailable, Unreadable
from service.providers import Page
from tests.providers.bunq_bodies import (
    EMPTY,
    LIST_PATH,
    SINCE,
    UNTIL,
    bunq,
    entry,
    euros,
    inquiry,
    paged,
    payment,
    read,
    shown,
)
from tests.providers.exchange import always, at_paths, run
from tests.providers.table_bunq import (
    ACCOUNT_PATH,
    FAILURES_PATH,
    INQUIRY,
    PAYMENTS_PATH,
    USER_PATH,
)
from tests.providers.world import recording


@pytest.mark.parametrize(
    "link",
    [
        f"https://evil.example{ACCOUNT_PATH}/payment?count=200",
        f"//evil.example{ACCOUNT_PATH}/payment?count=200",
        "/v1/user/1/monetary-account/1/payment?count=200",
        f"/v1{ACCOUNT_PATH}/payment?count=200",
        f"{ACCOUNT_PATH}/payment/../../../2/payment?count=200",
        f"{ACCOUNT_PATH}/request-inquiry?count=200",
        f"{ACCOUNT_PATH}/payment",
        f"{ACCOUNT_PATH}/payment?count=200#x",
        f"{ACCOUNT_PATH}/payment?count=200\r\nhost: x",
        f"{ACCOUNT_PATH}/payment?" + "x" * 301,
        PAYMENTS_PATH,
        5,
    ],
)
def test_a_link_that_leads_elsewhere_or_nowhere_is_not_followed(link: object) -> None:
    shown = {"Response": [payment(3)], "Pagination": {"older_url": link}}

    with pytest.raises(Unreadable):
        read(inquiry(), paths={PAYMENTS_PATH: shown})


def test_a_link_is_followed_below_an_api_that_is_mounted_elsewhere() -> None:
    adapter = bunq(api_base="http://127.0.0.1:9000/bunq/v1/")
    link = f"{ACCOUNT_PATH}/request-inquiry?count=2&older_id=2025726"
    first = paged({"RequestInquiry": entry(3)}, older=link)

    page, _ = run(adapter.list_page(SINCE, UNTIL, "count=2"), always(json.dumps(first).encode()))
    _, requests = run(
        adapter.list_page(SINCE, UNTIL, page.next), always(json.dumps(EMPTY).encode())
    )

    assert str(requests[0].url) == f"http://127.0.0.1:9000/bunq{link}"


WINDOW_LINK = f"{ACCOUNT_PATH}/request-inquiry?count=200&older_id=1"


def listed(*entries: Any, older: str | None = None) -> tuple[tuple[str, ...], str | None]:
    answer = paged(*({"RequestInquiry": one} for one in entries), older=older)
    page, _ = run(bunq().list_page(SINCE, UNTIL, "count=200"), always(json.dumps(answer).encode()))
    return tuple(item.provider_id for item in page.items), page.next


def test_a_list_gives_each_request_with_the_version_that_it_shows() -> None:
    answer = always(recording("bunq", "request_inquiry_list_page_1_newest.json"))

    page, _ = run(bunq().list_page(SINCE, UNTIL, "count=200"), answer)

    assert page.items[1].version == 1_740_992_940_000_001
    assert page.next == "count=2&older_id=2025726"


def test_an_old_request_that_changed_since_is_listed_and_the_walk_goes_on() -> None:
    changed = entry(2, created="2024-01-01", updated="2025-03-03")
    old = entry(1, created="2024-01-01", updated="2024-01-01")

    assert listed(changed, old, older=WINDOW_LINK) == (("2",), "count=200&older_id=1")


def test_the_walk_ends_with_a_page_on_which_everything_is_old() -> None:
    old = entry(1, created="2024-01-01", updated="2024-01-01")

    assert listed(old, older=WINDOW_LINK) == ((), None)
    assert listed(older=WINDOW_LINK) == ((), None)


@pytest.mark.parametrize("odd", [{}, {"created": 5, "updated": None}, {"created": "2024-13-01"}])
def test_an_entry_whose_times_cannot_be_read_is_listed_and_hides_no_other(odd: Any) -> None:
    old = entry(1, created="2024-01-01", updated="2024-01-01")

    assert listed({"id": 7} | odd, entry(5), old, older=WINDOW_LINK) == (
        ("7", "5"),
        "count=200&older_id=1",
    )


@pytest.mark.parametrize("number", [None, "7", 0, -7, 7.5, True])
def test_a_page_with_an_entry_that_has_no_id_is_unreadable(number: object) -> None:
    with pytest.raises(Unreadable):
        listed(entry(5), {"id": number})


# Looking through


def looked_through(
    *items: dict[str, Any], since: datetime = SINCE, older: str | None = None, **keys: Any
) -> Page:
    answer = always(json.dumps(paged(*items, older=older)).encode())
    page, requests = run(bunq(**keys).look_through(since, None), answer)
    assert [request.url.raw_path.decode() for request in requests] == [LIST_PATH]
    return page


def mark(item: dict[str, Any], **keys: Any) -> str | None:
    (listed,) = looked_through(item, **keys).items
    return listed.mark


UNREFERENCED = [
    shown("pending"),
    shown("pending", amount_inquired=euros("0.01")),
    shown("accepted", merchant_reference=None),
    shown("accepted", merchant_reference=None, amount_responded=euros("100.00")),
    shown("accepted", merchant_reference=""),
    shown("rejected"),
    shown("revoked"),
    shown("revoked", amount_responded=euros("125.00")),
    shown("expired", time_expiry="2025-04-02 09:00:00"),
]


@pytest.mark.parametrize("item", UNREFERENCED)
def test_a_list_and_a_read_agree_on_the_mark(item: dict[str, Any]) -> None:
    assert read({"Response": [item]}).listing == Listing(INQUIRY, mark(item) or "none")


def test_what_can_be_given_back_is_in_no_list() -> None:
    assert read(inquiry()).listing is None
    assert mark(shown()) != mark(shown("pending"))


@given(st.data())
def test_marks_are_equal_exactly_when_reads_come_to_the_same(data: st.DataObject) -> None:
    cents = st.sampled_from(["0.01", "100.00", "125.00"]).map(euros)
    items = [
        shown(
            status=data.draw(st.sampled_from(["PENDING", "ACCEPTED", "REJECTED", "REVOKED"])),
            merchant_reference=None,
            amount_inquired=data.draw(cents),
            amount_responded=data.draw(cents),
            description=data.draw(st.sampled_from(["Order 10042", ""])),
        )
        for _ in range(2)
    ]
    one, other = (read({"Response": [item]}) for item in items)
    same = (one.facts, one.attention) == (other.facts, other.attention)

    assert (mark(items[0]) == mark(items[1])) is same


def test_a_mark_knows_what_the_account_says_of_a_word() -> None:
    item = shown(merchant_reference=None)

    assert mark(item, words={"ACCEPTED": Status.PAID}) != mark(item)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "CANCELLED"},
        {"status": None},
        {"amount_responded": None},
        {"amount_inquired": "125.00"},
        {"updated": None},
        {"monetary_account_id": 1},
    ],
)
def test_an_entry_that_only_a_read_can_tell_of_has_a_mark_that_no_read_comes_to(
    fields: dict[str, Any],
) -> None:
    assert mark(shown("accepted", **fields)) == "unreadable"


def test_all_requests_made_since_are_looked_through_changed_or_not() -> None:
    old = shown("accepted", id=1, created="2025-03-02 23:59:59.999999")

    page = looked_through(shown("pending", id=2), old, older=WINDOW_LINK)

    assert [(item.provider_id, item.version) for item in page.items] == [
        ("2", 1_740_992_400_123_456)
    ]
    assert page.next == "count=200&older_id=1"
    assert looked_through(old, older=WINDOW_LINK) == Page((), None)


def test_a_page_looked_through_stands_for_200_reads() -> None:
    assert LIST_PATH.endswith(f"?count={bunq().entries_per_page}")


# Calls sent again


@pytest.mark.parametrize(
    "failure",
    [
        {"id": 1, "category": "REQUEST", "created": "2025-03-02 23:59:59.999999"},
        {"id": 1, "category": "MUTATION", "created": "2025-03-03 09:00:00"},
        {"category": "REQUEST"},
    ],
)
def test_given_up_calls_of_before_or_about_anything_else_are_left_alone(failure: Any) -> None:
    answer = at_paths(
        {FAILURES_PATH: paged({"NotificationFilterFailure": failure}), LIST_PATH: EMPTY}
    )

    _, requests = run(bunq().list_page(SINCE, UNTIL, None), answer)

    assert [request.method for request in requests] == ["GET", "GET"]


def failures(numbers: Iterable[int], older: str | None = None) -> dict[str, Any]:
    made = {"category": "REQUEST", "created": "2025-03-03 09:00:00.123456"}
    return paged(
        *({"NotificationFilterFailure": made | {"id": one}} for one in numbers), older=older
    )


def sent_again(cursor: str | None, **bodies: object) -> tuple[Page, str]:
    paths: dict[str, object] = {f"{USER_PATH}/notification-filter-failure": EMPTY}
    paths |= {
        f"{USER_PATH}/notification-filter-failure?{name}": one for name, one in bodies.items()
    }
    page, requests = run(bunq().list_page(SINCE, UNTIL, cursor), at_paths(paths))
    return page, json.loads(requests[1].content)["notification_filter_failed_ids"]


def test_given_up_calls_are_sent_again_page_by_page_before_the_list_is_read() -> None:
    older = f"{USER_PATH}/notification-filter-failure?count=100&older_id=101"
    first, rest = failures(range(101, 201), older), failures([7])
    bodies = {"count=100": first, "count=100&older_id=101": rest}

    page, ids = sent_again(None, **bodies)
    following, last_ids = sent_again(page.next, **bodies)

    assert ids == ",".join(map(str, range(101, 201)))
    assert (last_ids, following) == ("7", Page((), "count=200"))


def test_no_more_than_100_calls_are_sent_again_at_once_whatever_is_shown() -> None:
    _, ids = sent_again(None, **{"count=100": failures(range(1, 251))})

    assert ids.count(",") == 99


@pytest.mark.parametrize("cursor", ["given-up?count=100&older_id=1", None])
def test_without_given_up_calls_the_list_is_read_at_once(cursor: str | None) -> None:
    answer = at_paths({LIST_PATH: paged({"RequestInquiry": entry(5)})})

    page, _ = run(bunq().list_page(SINCE, UNTIL, cursor), answer)

    assert [item.provider_id for item in page.items] == ["5"]


@pytest.mark.parametrize("error", [Unauthorised("http_403"), Unavailable("http_500")])
def test_a_list_is_read_whatever_given_up_calls_run_into(error: SettledError) -> None:
    listing = json.dumps(paged({"RequestInquiry": entry(5)})).encode()

    page, _ = run(
        bunq().list_page(SINCE, UNTIL, None),
        lambda request: error if "failure" in request.url.path else listing,
    )

    assert [item.provider_id for item in page.items] == ["5"]


def test_too_many_calls_are_not_followed_by_another() -> None:
    with pytest.raises(TooManyCalls):
        run(bunq().list_page(SINCE, UNTIL, None), lambda request: TooManyCalls("http_429"))


@pytest.mark.parametrize("failures", [None, {"Response": [{"Payment": {}}]}, b"<html>"])
def test_a_list_is_read_whatever_becomes_of_given_up_calls(failures: object) -> None:
    answer = at_paths({FAILURES_PATH: failures, LIST_PATH: paged({"RequestInquiry": entry(5)})})

    page, _ = run(bunq().list_page(SINCE, UNTIL, None), answer)

    assert [item.provider_id for item in page.items] == ["5"]
