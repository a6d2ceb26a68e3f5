"""Which charts each page shows, from what the views counted."""

from collections.abc import Iterable
from typing import Final

from service.domain.drift import DriftClass
from service.runtime import utc_now
from service.storage.database import Pool
from service.storage.views.accounts import Configured
from service.storage.views.hours import (
    HOUR_COUNTED_MAX,
    HOURS,
    hours_of_account,
    hours_of_all,
    hours_of_endpoint,
)
from service.storage.views.lanes import COUNTED_MAX
from service.storage.views.reading import Json
from service.storage.views.spread import (
    ANSWER_EDGES_MS,
    spread_of_answers,
    spread_of_calls,
    spread_of_waiting,
)
from service.web.console.charts import Chart, Mark, Series, columns, histogram, place_of, sparkline

_DAY: Final = ("24 h ago", "12 h ago", "now")
_OVER: Final = f"per hour, the last {HOURS} h, oldest first"

# Into how many slices the window of a budget is cut.
SLICES: Final = 24

_ANSWER_NAMES: Final = (
    "<10 ms", "<20", "<50", "<100", "<200", "<500", "<1 s", "<2 s", "<5 s", "<10 s", "10 s+",
)  # fmt: skip
_AGE_NAMES: Final = ("<1 min", "<5 min", "<30 min", "<2 h", "<10 h", "<1 d", "<3 d", "3 d+")


async def charts_of_all(pool: Pool) -> list[Chart]:
    """Return what the overview draws. Raises Unavailable."""
    hours = await hours_of_all(pool)
    return [
        _line("Webhooks received", hours["webhooks"]),
        _line("Changes", hours["changes"]),
        _line("Notifications delivered", hours["delivered"]),
        _bars(
            "Failures",
            Series("attempts failed", "warn", hours["failed"]),
            Series("dead", "bad", hours["dead"]),
        ),
    ]


async def charts_of_endpoint(pool: Pool, name: str) -> list[Chart]:
    """Return what the page of an endpoint draws. Raises Unavailable."""
    hours = await hours_of_endpoint(pool, name)
    answers = await spread_of_answers(pool, name)
    figure, marks = "no attempt lately", []
    if answers.p50_ms is not None and answers.p95_ms is not None:
        figure = f"p50 {answers.p50_ms} ms, p95 {answers.p95_ms} ms"
        percentiles = (("p50", answers.p50_ms), ("p95", answers.p95_ms))
        marks = [Mark(place_of(ms, ANSWER_EDGES_MS), word) for word, ms in percentiles]
    return [
        _bars(
            "Attempts",
            Series("delivered", "good", hours["delivered"]),
            Series("failed", "bad", hours["failed"]),
        ),
        histogram("Answer times", answers.found, _ANSWER_NAMES, figure=figure, marks=marks),
    ]


async def charts_of_account(pool: Pool, account: Configured, used: int) -> list[Chart]:
    """Return what the page of an account draws. Raises Unavailable."""
    hours = await hours_of_account(pool, account.name)
    seconds = account.limit.seconds
    calls = await spread_of_calls(
        pool, account.budget or account.name, seconds=seconds, slices=SLICES
    )
    return [
        _line("Webhooks received", hours["webhooks"]),
        histogram(
            "Budget use",
            calls,
            [f"{seconds * (SLICES - place) / SLICES:.2g} s ago" for place in range(SLICES)],
            axis=(f"{seconds:g} s ago", "now"),
            figure=f"{used} of {account.limit.count} calls in {seconds:g} s",
        ),
    ]


async def chart_of_waiting(pool: Pool) -> Chart:
    """Return what waits to go out by its age. Raises Unavailable."""
    found = await spread_of_waiting(pool, now=utc_now())
    over = any(number >= COUNTED_MAX for number in found)
    figure = f"{sum(found)}{'+' if over else ''} waiting"
    return histogram("Waiting by age", found, _AGE_NAMES, figure=figure, most=COUNTED_MAX)


def chart_of_drift(runs: Iterable[Json]) -> Chart | None:
    """Return how much each finished run found to differ, oldest first; None where there is none."""
    finished = [run for run in runs if run["finished_at"] is not None][::-1]
    if not finished:
        return None
    found = [sum(run["drift"][str(each)] for each in DriftClass) for run in finished]
    return histogram(
        "Drift per run",
        found,
        [f"{run['account']} {run['finished_at'][:10]}" for run in finished],
        axis=(finished[0]["finished_at"][:10], finished[-1]["finished_at"][:10]),
        figure=f"{found[-1]} in the newest run",
        kind="warn",
    )


def _line(title: str, numbers: list[int]) -> Chart:
    return sparkline(title, numbers, over=_OVER, axis=_DAY, most=HOUR_COUNTED_MAX)


def _bars(title: str, *stacked: Series) -> Chart:
    return columns(title, stacked, over=_OVER, axis=_DAY, most=HOUR_COUNTED_MAX)
