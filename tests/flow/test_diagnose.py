"""What is judged of what was read, each problem with its remedy."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.flow.diagnose import (
    LATE_SECONDS,
    Diagnosis,
    judge_accounts,
    judge_lanes,
    judge_migrations,
    judge_polling,
    judge_server,
    judge_standing,
)
from service.storage.views.standing import Server, Standing, Waiting

NOW = datetime(2026, 11, 20, 14, 31, tzinfo=UTC)
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
WELL = Standing(
    workers=2,
    connected={"web": 2, "worker": 2, "beat": 1},
    due=Waiting(3, 0.4),
    deliveries=Waiting(1, LATE_SECONDS),
    parked=0,
    requests_attention={},
    orders_attention={},
    dead=0,
    dead_untold=0,
    delivered_at=NOW,
    strayed=(),
)


def lane(**values: Any) -> dict[str, Any]:
    return {
        "name": "erp",
        "configured": True,
        "state": "open",
        "reason": None,
        "backlog": 3,
    } | values


def account(**values: Any) -> dict[str, Any]:
    return {"name": "a", "state": "ok", "reason": None, "stretched": 1.0} | values


def wrong_in(found: list[Diagnosis]) -> list[Diagnosis]:
    return [one for one in found if one.is_wrong]


def test_nothing_is_wrong_where_all_is_well() -> None:
    found = [
        *judge_server(Server("18.4", DURABLE, NOW), now=NOW),
        judge_migrations([]),
        *judge_standing(WELL),
        *judge_lanes([lane(), lane(state="draining")]),
        *judge_accounts([account()]),
        *judge_polling([account()]),
    ]

    assert {one.finding.ok for one in found} == {True}
    assert not any(one.finding.remedy for one in found)


@pytest.mark.parametrize(
    ("change", "part", "detail", "remedy"),
    [
        ({"workers": 0}, "processes", "none", "start `settled up`, or `settled worker`"),
        (
            {"connected": {"web": 2, "worker": 2, "beat": 0}},
            "processes",
            "none",
            "start `settled up`, or `settled beat`",
        ),
        (
            {"connected": {"web": 0, "worker": 2, "beat": 1}},
            "processes",
            "none",
            "start `settled up`, or `settled web`",
        ),
        (
            {"due": Waiting(9, LATE_SECONDS + 1)},
            "backlog",
            "the oldest for 301 s",
            "`settled accounts list`",
        ),
        (
            {"deliveries": Waiting(9, LATE_SECONDS + 1)},
            "backlog",
            "the oldest for 301 s",
            "`settled endpoints list`",
        ),
        (
            {"requests_attention": {"late_money": 2, "amount_mismatch": 1}},
            "attention",
            "1 amount_mismatch, 2 late_money",
            "`settled requests list --attention`",
        ),
        (
            {"orders_attention": {"overpaid": 1}},
            "attention",
            "1 overpaid",
            "`settled orders list --attention`",
        ),
        (
            {"dead": 3, "dead_untold": 1},
            "attention",
            "3 dead, 1 of them not told of since",
            "`settled deliveries list --state dead`",
        ),
        ({"strayed": ("events_default",)}, "database", "rows lie in events_default", "a beat runs"),
    ],
)
def test_each_problem_is_named_with_its_remedy(
    change: dict[str, Any], part: str, detail: str, remedy: str
) -> None:
    [found] = wrong_in(judge_standing(replace(WELL, **change)))

    assert found.part == part
    assert detail in found.finding.detail
    assert remedy in found.finding.remedy


def test_what_is_parked_and_a_dead_letter_that_the_erp_knows_of_are_no_faults() -> None:
    found = judge_standing(replace(WELL, parked=4, dead=2))

    assert not wrong_in(found)
    assert [one.finding.detail[:2] for one in found if one.finding.ok is None] == ["4:"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "local")],
)
def test_a_server_that_may_lose_a_commit_is_a_fault(name: str, value: str) -> None:
    [found] = wrong_in(judge_server(Server("18.4", DURABLE | {name: value}, NOW), now=NOW))

    assert found.finding.check == name
    assert f"set {name} = on" in found.finding.remedy


@pytest.mark.parametrize(
    ("ahead_seconds", "said"), [(31, "ours is 31 s behind"), (-31, "ours is 31 s ahead of")]
)
def test_a_clock_that_is_half_a_minute_off_is_a_fault(ahead_seconds: int, said: str) -> None:
    server = Server("18.4", DURABLE, NOW + timedelta(seconds=ahead_seconds))

    [found] = wrong_in(judge_server(server, now=NOW))

    assert found.finding.detail.startswith(said)
    assert "NTP" in found.finding.remedy


def test_missing_migrations_name_the_verb_that_applies_them() -> None:
    found = judge_migrations(["0022_more.sql"]).finding

    assert (found.ok, found.detail) == (False, "lacks 0022_more.sql")
    assert found.remedy == "run `settled db upgrade`"


@pytest.mark.parametrize(
    ("endpoint", "detail", "remedy"),
    [
        (lane(state="on_hold", reason="http_401"), "on_hold, 3 wait (http_401)", "endpoints test"),
        (lane(state="probing"), "probing, 3 wait", "endpoints resume erp"),
        (lane(state="paused", reason="moving"), "paused, 3 wait (moving)", "endpoints resume erp"),
        (lane(configured=False, state="paused"), "removed, 3 wait", "configure it again"),
    ],
)
def test_a_lane_that_keeps_messages_is_a_fault(
    endpoint: dict[str, Any], detail: str, remedy: str
) -> None:
    [found] = judge_lanes([endpoint])

    assert (found.finding.ok, found.finding.detail) == (False, detail)
    assert remedy in found.finding.remedy


def test_a_removed_endpoint_for_which_nothing_waits_is_not_spoken_of() -> None:
    assert judge_lanes([lane(configured=False, backlog=0)]) == []


def test_a_paused_account_and_a_stretched_one_are_faults() -> None:
    [paused] = judge_accounts([account(state="paused", reason="unauthorised")])
    [stretched] = judge_polling([account(stretched=4.5)])

    assert paused.finding.detail == "paused (unauthorised)"
    assert paused.finding.remedy.startswith("`settled accounts check a`")
    assert stretched.finding.detail == "intervals are 4.5 times as long as wished"
