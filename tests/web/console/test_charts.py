"""The geometry of charts: everything inside the box, in proportion, and told in words."""

import pytest

from service.web.console.charts import (
    HEIGHT,
    SEEN_HEIGHT_MIN,
    WIDTH,
    Chart,
    Mark,
    Series,
    columns,
    histogram,
    place_of,
    sparkline,
)

AXIS = ("24 h ago", "now")


def line_of(*numbers: int) -> list[tuple[float, float]]:
    chart = sparkline("Reads", numbers, over="per hour", axis=AXIS)
    pairs = (point.split(",") for point in chart.line.split())
    return [(float(x), float(y)) for x, y in pairs]


def stack_of(good: list[int], bad: list[int]) -> Chart:
    series = [Series("delivered", "good", good), Series("failed", "bad", bad)]
    return columns("Attempts", series, over="per hour", axis=AXIS, most=500)


def test_a_line_runs_from_edge_to_edge_and_its_highest_number_touches_the_top() -> None:
    assert line_of(0, 5, 10) == [(0, HEIGHT), (WIDTH / 2, HEIGHT / 2), (WIDTH, 0)]


def test_a_line_of_nothing_lies_on_the_ground() -> None:
    assert {y for _, y in line_of(0, 0, 0)} == {HEIGHT}
    assert line_of() == []
    assert line_of(7) == [(0, 0)]


def test_what_lies_under_a_line_is_closed_on_the_ground() -> None:
    chart = sparkline("Reads", [1, 2], over="per hour", axis=AXIS)

    assert chart.under == "0,48 0,24 240,0 240,48"


def test_bad_bars_stand_on_good_ones_in_proportion() -> None:
    good, bad = stack_of([3, 0], [1, 0]).bars

    assert (good.kind, bad.kind) == ("good", "bad")
    assert good.height == pytest.approx(3 * bad.height, abs=0.05)
    assert bad.y + bad.height == pytest.approx(good.y, abs=0.02)
    assert good.y + good.height == HEIGHT
    assert good.x == bad.x
    assert 0 < good.x < good.x + good.width < WIDTH / 2


@pytest.mark.parametrize(
    ("good", "bad"), [([1, 1_000_000], [1, 1]), ([0, 500], [1, 0]), ([1000, 0], [1, 0])]
)
def test_one_among_many_is_seen_and_no_bar_leaves_the_box(good: list[int], bad: list[int]) -> None:
    bars = stack_of(good, bad).bars

    assert len(bars) == sum(number > 0 for number in [*good, *bad])
    for bar in bars:
        assert bar.y >= 0
        assert bar.height >= SEEN_HEIGHT_MIN
        assert bar.y + bar.height <= HEIGHT
        assert 0 <= bar.x <= WIDTH - bar.width


def test_a_chart_tells_its_numbers_in_words_and_which_of_them_ended_at_a_bound() -> None:
    chart = stack_of([3, 500], [0, 1])

    assert chart.figure == "503+ delivered, 1 failed"
    assert chart.told == (
        "Attempts per hour: 503+ delivered, 1 failed. One by one: delivered 3, 500+; failed 0, 1."
    )


def test_a_histogram_names_its_bars_and_carries_its_marks() -> None:
    marks = [Mark(60.0, "p50")]
    chart = histogram("Ages", [0, 4], ["young", "old"], figure="4 waiting", marks=marks)

    assert (chart.axis, chart.is_named, chart.marks) == (("young", "old"), True, tuple(marks))
    assert chart.told == "Ages: 4 waiting. young: 0, old: 4."
    (bar,) = chart.bars
    assert WIDTH / 2 < bar.x < bar.x + bar.width < WIDTH


@pytest.mark.parametrize(
    ("value", "place"),
    [(0, 0), (5, 30), (10, 60), (15, 90), (20, 120), (100, 150), (180, 210), (9999, 210), (-1, 0)],
)
def test_a_mark_stands_where_its_value_lies_in_its_bar(value: float, place: float) -> None:
    edges = (0, 10, 20, 180)

    assert place_of(value, edges) == pytest.approx(place)
