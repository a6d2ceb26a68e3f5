"""The list of payment orders, walked page by page and looked through for what has changed."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from service.domain.request import Kind, Listing, Observation
from service.domain.status import Status
from service.errors import NotFoundThere, Unreadable
from service.providers import Listed, Page, ShowsStatuses
from tests.providers.exchange import always, run
from tests.providers.payment_requests_v2_bodies import (
    CREATED_AT,
    LIST,
    LONG_AGO,
    order,
    orders,
    transfer,
)
from tests.providers.world import recording

# Mistake 4: the cursor pages of another document


def listed(
    body: object, *, cursor: str | None = None, since: datetime = LONG_AGO
) -> tuple[Page, httpx.Request]:
    exchange = orders().list_page(since, CREATED_AT, cursor)
    page, (asked,) = run(exchange, always(json.dumps(body).encode()))
    return page, asked


def page_of(*ids: object, page: int = 1, pages: int = 3) -> dict[str, Any]:
    data = [{"id": one, "created_at": "2025-03-03T12:00:00Z"} for one in ids]
    return {"meta": {"records": 25, "per_page": 10, "page": page, "pages": pages}, "data": data}


def walk(bodies: Sequence[bytes]) -> tuple[list[str], list[str]]:
    """Walk a list to its end; return the ids found and the paths asked for."""
    ids, paths, cursor = [], [], None
    for body in bodies:
        page, (asked,) = run(orders().list_page(LONG_AGO, CREATED_AT, cursor), always(body))
        ids += [item.provider_id for item in page.items]
        paths.append(asked.url.raw_path.decode())
        cursor = page.next
    assert cursor is None
    return ids, paths


def test_a_list_is_walked_by_page_numbers_to_its_last_page() -> None:
    pages = [recording("payment_requests_v2", f"page_{number}_of_3.json") for number in (1, 2, 3)]
    ids, paths = walk(pages)

    assert ids == [str(number) for number in range(100, 125)]
    assert paths == [f"{LIST}?client_account_id=123&page={n}&per_page=50" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    "body",
    [
        {"data": []},
        {"data": [], "pagination": {"hasMore": False, "nextCursor": None}},
        {"data": [], "meta": None},
        {"data": [], "meta": {"page": 1}},
        {"data": [], "meta": {"records": 21, "per_page": 10, "page": 1, "pages": 2}},
        {"data": [], "meta": {"records": 21, "per_page": 10, "page": 1, "pages": 10**9}},
        {"meta": {"page": 1, "pages": 1}},
        [],
    ],
)
def test_a_list_without_its_page_numbers_fails_loudly(body: object) -> None:
    with pytest.raises(Unreadable):
        listed(body)


def test_a_page_that_was_not_asked_for_fails_loudly() -> None:
    with pytest.raises(Unreadable, match="another page"):
        listed(page_of(100, page=1), cursor="2")


@pytest.mark.parametrize(
    "body", [page_of(100, page=3), page_of(page=3), page_of(page=4), page_of(124, page=4)]
)
def test_a_list_ends_with_its_last_page_or_one_beyond_the_end(body: Any) -> None:
    assert listed(body, cursor=str(body["meta"]["page"]))[0].next is None


def test_a_list_of_nothing_has_no_pages() -> None:
    empty = {"meta": {"records": 0, "per_page": 10, "page": 1, "pages": 0}, "data": []}

    assert listed(empty)[0] == Page((), None)


def test_an_empty_page_in_the_middle_is_passed_over_and_a_second_one_ends_the_list() -> None:
    first = listed(page_of(page=1))[0]

    assert first.next is not None
    assert listed(page_of(page=2), cursor=first.next)[0].next is None


def test_a_list_ends_where_a_page_repeats_whatever_number_it_says() -> None:
    first = listed(page_of(100, 101))[0]
    again = listed(page_of(101, 100, page=2), cursor=first.next)[0]
    another = listed(page_of(101, 102, page=2), cursor=first.next)[0]

    assert again.next is None
    assert another.next is not None


def test_a_list_that_shrank_below_the_page_asked_for_has_ended() -> None:
    page, _ = run(orders().list_page(LONG_AGO, CREATED_AT, "2"), lambda asked: None)

    assert page == Page((), None)
    with pytest.raises(NotFoundThere):
        run(orders().list_page(LONG_AGO, CREATED_AT, None), lambda asked: None)


def test_orders_that_move_to_another_page_meanwhile_are_found_once_or_twice() -> None:
    first = listed(page_of(100, 101))[0]
    second = listed(page_of(101, 102, page=2), cursor=first.next)[0]
    found = [item.provider_id for page in (first, second) for item in page.items]

    assert found == ["100", "101", "101", "102"]


def test_the_last_page_shown_again_beyond_the_end_ends_the_list() -> None:
    assert listed(page_of(124, page=3, pages=3), cursor="4")[0].next is None


def test_an_order_twice_on_a_page_counts_once() -> None:
    items = listed(page_of(100, "100", 7))[0].items

    assert items == tuple(Listed(Kind.PAYMENT_REQUEST, one, None) for one in ("7", "100"))


def test_a_list_tells_of_nothing_older_than_the_sweep_looks_back() -> None:
    body = page_of(100)

    assert len(listed(body, since=CREATED_AT)[0].items) == 1
    later = listed(body, since=CREATED_AT + timedelta(seconds=1))[0]
    assert (later.items, later.next) == ((), listed(body)[0].next)


@pytest.mark.parametrize("entry", [{}, {"id": 41}, 7, None])
def test_a_list_with_an_entry_of_another_shape_is_unreadable(entry: object) -> None:
    with pytest.raises(Unreadable):
        listed({**page_of(), "data": [entry]})


@pytest.mark.parametrize("wrong", [0, -1, "../users/me", "", None, 1.5, True])
def test_ids_in_a_list_reach_no_url_unchecked(wrong: object) -> None:
    with pytest.raises(Unreadable):
        listed(page_of(wrong))


@pytest.mark.parametrize("cursor", ["", "0", "-1", "1.0", "²", "9" * 10, "2-", "2-&page=9"])
def test_a_cursor_that_is_no_page_is_unreadable(cursor: str) -> None:
    with pytest.raises(Unreadable):
        next(orders().list_page(LONG_AGO, CREATED_AT, cursor))


# Looking through


def looked_through(*entries: object) -> list[Listed]:
    body = {**page_of(), "data": entries}
    page, _ = run(
        orders().look_through(LONG_AGO, None), always(json.dumps(body, default=str).encode())
    )
    return list(page.items)


def mark_in_list(body: dict[str, Any]) -> str | None:
    (item,) = looked_through(body)
    return item.mark


def test_the_list_shows_all_that_a_read_does() -> None:
    assert isinstance(orders(), ShowsStatuses)
    for page in (1, 2, 3):
        entries = json.loads(recording("payment_requests_v2", f"page_{page}_of_3.json"))["data"]
        assert all(item.mark for item in looked_through(*entries))


@pytest.mark.parametrize(
    "file",
    [
        *("get_initiated_bare", "get_international", "get_two_transfers_initiated"),
        *("get_with_relations", "assumed_completed", "assumed_mixed_transfers"),
    ],
)
def test_a_read_and_the_list_mark_an_order_alike(file: str) -> None:
    body = json.loads(recording("payment_requests_v2", f"{file}.json"))
    read = orders().read(Kind.PAYMENT_REQUEST, str(body["id"]), None)
    observation, _ = run(read, always(json.dumps(body).encode()))
    (item,) = looked_through(body)

    assert isinstance(observation, Observation)
    assert observation.listing == Listing(item.provider_id, item.mark or "")


@pytest.mark.parametrize(
    "changed",
    [
        order(transfer("accepted")),
        order(transfer("completed")),
        order(transfer(amount=1500.01)),
        order(transfer(currency_code="SEK")),
        order(transfer(), transfer()),
        order(payment_status="accepted"),
        order(transfer("created")),  # a word that is in no table, but is a status of ours
    ],
)
def test_whatever_changes_the_facts_changes_the_mark(changed: dict[str, Any]) -> None:
    assert mark_in_list(changed) != mark_in_list(order())


def test_what_changes_no_fact_leaves_the_mark() -> None:
    two = order(transfer("completed"), transfer("acsc", 200))
    same = order(transfer("EXECUTED", 1500.0), transfer(" acsc", 200), id="41")
    turned = {**two, "transfers": two["transfers"][::-1]}

    assert mark_in_list(two) == mark_in_list(same) == mark_in_list(turned)


def test_another_meaning_of_a_word_changes_the_mark() -> None:
    body = {**page_of(), "data": [order(transfer("accepted"))]}
    answer = always(json.dumps(body).encode())
    marks = {
        run(one.look_through(LONG_AGO, None), answer)[0].items[0].mark
        for one in (orders(), orders(words={"accepted": Status.PROCESSING}))
    }

    assert len(marks) == 2


@pytest.mark.parametrize(
    "entry",
    [
        order(client_account_id=124),
        order(client_account_id=None),
        order(transfers=None),
        order(transfer(amount=0)),
        order(transfer(None)),  # type: ignore[arg-type]
    ],
)
def test_what_only_a_read_can_judge_has_no_mark_and_blocks_no_other(entry: dict[str, Any]) -> None:
    odd, sound = looked_through(entry, order(id=42))

    assert (odd.provider_id, odd.mark) == ("41", None)
    assert sound.mark


def test_an_order_that_a_page_shows_twice_in_different_ways_is_read() -> None:
    (item,) = looked_through(order(), order(transfer("completed")))
    (same,) = looked_through(order(), order())

    assert item.mark is None
    assert same.mark
