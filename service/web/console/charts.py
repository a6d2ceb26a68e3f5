"""Charts as plain geometry: numbers in, shapes in a box out. The template chart.html draws them.

A chart is WIDTH by HEIGHT units with its origin above left, and is stretched to the room it has.
What it shows is also told in words, for whoever does not see it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

WIDTH: Final = 240.0
HEIGHT: Final = 48.0

# The part of a bar's place that stays empty, and how high the least of numbers above 0 stands out.
GAP: Final = 0.2
SEEN_HEIGHT_MIN: Final = 1.5


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle; kind is its colour: "good", "warn", "bad"."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A line from top to bottom at x, with a name."""

    x: float
    name: str


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers of one sort: the word for them and the kind of their bars."""

    word: str
    kind: str
    numbers: Sequence[int]


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn, and around it: title, the figure beside it, the words under the axis.

    told is the chart in words. line is the points of a sparkline, "" for none. The words of the
    axis stand under one bar each where is_named, else from end to end.
    """

    title: str
    figure: str
    told: str
    axis: tuple[str, ...]
    is_named: bool = False
    line: str = ""
    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()

    @property
    def under(self) -> str:
        """Return the points of what lies under the line."""
        return f"0,{HEIGHT:g} {self.line} {WIDTH:g},{HEIGHT:g}"


def sparkline(
    title: str, numbers: Sequence[int], *, over: str, axis: tuple[str, ...], most: int | None = None
) -> Chart:
    """Return numbers at equal steps as one line, the highest of them at the top.

    over says what they are counted over; most is where counting ends.
    """
    step = WIDTH / max(len(numbers) - 1, 1)
    scale = _scale(numbers)
    points = (
        f"{_round(place * step):g},{_round(HEIGHT - number * scale):g}"
        for place, number in enumerate(numbers)
    )
    figure = _sum(numbers, most)
    told = f"{title} {over}: {figure} in all. One by one: {_listed(numbers, most)}."
    return Chart(title, figure, told, axis, line=" ".join(points))


def columns(
    title: str,
    stacked: Sequence[Series],
    *,
    over: str,
    axis: tuple[str, ...],
    most: int | None = None,
) -> Chart:
    """Return series of equal length as bars at equal steps, the later ones on top."""
    steps = list(zip(*(series.numbers for series in stacked), strict=True))
    # Room is left for what stands on top of the highest bar, however little it is.
    room = HEIGHT - SEEN_HEIGHT_MIN * (len(stacked) - 1)
    scale = _scale([sum(step) for step in steps]) * room / HEIGHT
    width = WIDTH / max(len(steps), 1)
    bars: list[Bar] = []
    for place, step in enumerate(steps):
        on = 0.0
        for series, number in zip(stacked, step, strict=True):
            bars.append(_bar(place * width, width, number * scale, on=on, kind=series.kind))
            on += bars[-1].height
    figure = ", ".join(f"{_sum(series.numbers, most)} {series.word}" for series in stacked)
    each = "; ".join(f"{series.word} {_listed(series.numbers, most)}" for series in stacked)
    told = f"{title} {over}: {figure}. One by one: {each}."
    return Chart(title, figure, told, axis, bars=_drawn(bars))


def histogram(
    title: str,
    numbers: Sequence[int],
    names: Sequence[str],
    *,
    figure: str,
    kind: str = "good",
    axis: tuple[str, ...] = (),
    marks: Sequence[Mark] = (),
    most: int | None = None,
) -> Chart:
    """Return numbers as one bar for each name, with marks where the caller has put them.

    The names stand under the bars; axis, where there are too many, from end to end.
    """
    scale = _scale(numbers)
    width = WIDTH / len(names)
    bars = [
        _bar(place * width, width, number * scale, on=0.0, kind=kind)
        for place, number in enumerate(numbers)
    ]
    each = ", ".join(
        f"{name}: {_counted(number, most)}" for name, number in zip(names, numbers, strict=True)
    )
    return Chart(
        title,
        figure,
        f"{title}: {figure}. {each}.",
        axis or tuple(names),
        is_named=not axis,
        bars=_drawn(bars),
        marks=tuple(marks),
    )


def place_of(value: float, edges: Sequence[float]) -> float:
    """Return x of a value in a histogram whose bars begin at edges: even within its bar.

    What lies beyond the last edge stands in the middle of the last bar, which has no end.
    """
    width = WIDTH / len(edges)
    for place, (begins, ends) in enumerate(pairwise(edges)):
        if value < ends:
            return _round((place + max(value - begins, 0) / (ends - begins)) * width)
    return _round((len(edges) - 0.5) * width)


def _bar(x: float, width: float, height: float, *, on: float, kind: str) -> Bar:
    """Return a bar that stands on what is below it; 0 stays 0, and any other number is seen."""
    seen = max(height, SEEN_HEIGHT_MIN) if height else 0.0
    return Bar(
        _round(x + width * GAP / 2),
        _round(HEIGHT - on - seen),
        _round(width * (1 - GAP)),
        _round(seen),
        kind,
    )


def _drawn(bars: Sequence[Bar]) -> tuple[Bar, ...]:
    return tuple(bar for bar in bars if bar.height)


def _scale(numbers: Sequence[int]) -> float:
    return HEIGHT / max([*numbers, 1])


def _round(length: float) -> float:
    return round(length, 2)


def _sum(numbers: Sequence[int], most: int | None) -> str:
    ended = most is not None and any(number >= most for number in numbers)
    return f"{sum(numbers)}{'+' if ended else ''}"


def _counted(number: int, most: int | None) -> str:
    return f"{most}+" if most is not None and number >= most else str(number)


def _listed(numbers: Sequence[int], most: int | None) -> str:
    return ", ".join(_counted(number, most) for number in numbers)
