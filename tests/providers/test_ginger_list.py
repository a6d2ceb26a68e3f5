"""The list of orders. Source: fact sheet ginger, section 11."""

import json
from datetime import datetime, timedelta

import pytest

from service.domain.request import Kind
from service.errors import Unreadable
from service.providers import Listed, Page
from tests.providers.exchange import always, run
from tests.providers.ginger_bodies import NOW, ORDER, ginger


def page(since: datetime, until: datetime, cursor: str | None, body: object) -> tuple[Page, str]:
    exchange = ginger().list_page(since, until, cursor)
    found, (request,) = run(exchange, always(json.dumps(body).encode()))
    return found, request.url.raw_path.decode()


def test_a_list_is_asked_for_in_z_times() -> None:
    since = datetime.fromisoformat("2024-05-14T11:00:00+02:00")
    found, path = page(since, NOW, None, [{"id": ORDER, "modified": "1970-01-01T00:00:01Z"}])

    assert path == (
        "/v1/orders/?created_since=2024-05-14T09%3A00%3A00.000000Z"
        "&created_until=2024-05-14T09%3A30%3A00.000000Z"
    )
    assert found == Page((Listed(Kind.ORDER, ORDER, 1_000_000),), None)


def test_a_long_window_is_walked_in_overlapping_slices_of_at_most_a_day() -> None:
    since, cursor, windows = NOW - timedelta(days=3), None, []
    while True:
        found, path = page(since, NOW, cursor, [])
        windows.append(path)
        cursor = found.next
        if cursor is None:
            break

    assert len(windows) == 4
    assert "created_until=2024-05-12T09%3A30%3A00" in windows[0]
    assert "created_since=2024-05-12T09%3A29%3A59" in windows[1]
    assert "created_until=2024-05-14T09%3A30%3A00" in windows[-1]


def test_an_order_twice_in_a_list_counts_once() -> None:
    assert len(page(NOW, NOW, None, [{"id": ORDER}, {"id": ORDER.upper()}])[0].items) == 1


@pytest.mark.parametrize("entry", [{}, {"id": None}, {"id": "1"}, {"id": ORDER + "\n"}, ORDER, 7])
def test_a_list_with_an_entry_without_id_is_unreadable(entry: object) -> None:
    with pytest.raises(Unreadable):
        page(NOW, NOW, None, [{"id": ORDER}, entry])


@pytest.mark.parametrize("body", [{}, {"orders": []}, None, "[]"])
def test_a_list_that_is_no_array_is_unreadable(body: object) -> None:
    with pytest.raises(Unreadable):
        page(NOW, NOW, None, body)
