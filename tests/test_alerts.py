"""deploy/alerts.yaml and deploy/dashboard.json against the metrics that there are."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from service.domain.drift import DriftClass
from service.domain.lane import LaneState
from service.storage.views.gauges import GAUGES
from service.telemetry import metrics
from service.web.openapi import document
from tests.test_embedded import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
ALERTS = yaml.safe_load((DEPLOY / "alerts.yaml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((DEPLOY / "dashboard.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]

SELECTED = re.compile(r"(?P<metric>settled_\w+)(?:\{(?P<matchers>[^}]*)\})?")
GROUPED = re.compile(r"\b(?:by|on) \((?P<labels>[^)]*)\)")
MATCHER = re.compile(r"(?P<label>\w+)(?:=~|!=|=)\"(?P<value>[^\"]*)\"")

# Told to see how much there is: nobody has to act because of it.
ONLY_SHOWN = {
    "settled_due_requests",
    "settled_deliveries_waiting",
    "settled_events_today",
    "settled_untold_changes",  # many of them make an account silent, which is told
}


def labels_of_metrics() -> dict[str, set[str]]:
    """Return the labels of every name that Prometheus finds at /metrics."""
    labels = {"settled_database_up": set[str]()}
    labels |= {asked.name: set(asked.labels) for asked in GAUGES}
    for kept in vars(metrics).values():
        if isinstance(kept, MetricWrapperBase):
            labels |= {name: set(kept._labelnames) for name in _names_of(kept)}
    return labels


def _names_of(kept: MetricWrapperBase) -> list[str]:
    if isinstance(kept, Counter):
        return [f"{kept._name}_total"]
    return [f"{kept._name}_{part}" for part in ("bucket", "count", "sum")]


def alert_expressions() -> list[str]:
    return [rule["expr"] for rule in RULES]


def panel_expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def misfits(expression: str) -> Iterator[str]:
    """Yield what an expression names that is not there."""
    known = labels_of_metrics()
    there: set[str] = set()
    for selected in SELECTED.finditer(expression):
        labels = known.get(selected["metric"])
        if labels is None:
            yield f"no metric {selected['metric']}"
            continue
        there |= labels
        named = {matcher["label"] for matcher in MATCHER.finditer(selected["matchers"] or "")}
        yield from (f"no label {label} of {selected['metric']}" for label in named - labels)
    for grouped in GROUPED.finditer(expression):
        named = {label.strip() for label in grouped["labels"].split(",")}
        yield from (f"no label {label} in {expression}" for label in named - there - {"le"})


def runbook() -> dict[str, str]:
    """Return the sections of the runbook by the anchors that GitHub makes of their headings."""
    text = (DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8")
    _, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w-]", "", each.partition("\n")[0]): each for each in sections}


@pytest.mark.parametrize("expression", [*alert_expressions(), *panel_expressions()])
def test_alerts_and_panels_ask_for_metrics_and_labels_that_there_are(expression: str) -> None:
    assert SELECTED.search(expression)
    assert list(misfits(expression)) == []


@pytest.mark.parametrize(
    "expression",
    [
        "settled_none > 0",
        'max by (account) (settled_parked{endpoint="erp"})',
        "max by (endpoint) (settled_parked)",
    ],
)
def test_the_check_of_expressions_can_fail(expression: str) -> None:
    assert list(misfits(expression))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_for_how_long_and_how_urgent_and_which_commands_to_run(
    rule: dict[str, Any],
) -> None:
    assert re.fullmatch(r"\d+[mh]", rule["for"])
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    file, _, heading = rule["annotations"]["runbook_url"].partition("#")
    assert file == "RUNBOOK.md"
    assert "```sh\n" in runbook()[heading]


def test_every_gauge_is_shown_and_has_an_alert_unless_nobody_must_act() -> None:
    gauges = {asked.name for asked in GAUGES}
    alerted = {match["metric"] for text in alert_expressions() for match in SELECTED.finditer(text)}
    shown = {match["metric"] for text in panel_expressions() for match in SELECTED.finditer(text)}

    assert gauges - alerted == ONLY_SHOWN
    assert gauges - shown == set()


def test_alerts_wait_for_states_that_there_are() -> None:
    account = document()["components"]["schemas"]["Account"]["properties"]["state"]["enum"]
    words = {
        "settled_account_state": set(account),
        "settled_endpoint_state": {str(state) for state in LaneState},
        "settled_drift": {str(each) for each in DriftClass},
    }
    asked = [
        (selected["metric"], word)
        for text in alert_expressions()
        for selected in SELECTED.finditer(text)
        for matcher in MATCHER.finditer(selected["matchers"] or "")
        for word in matcher["value"].split("|")
    ]

    assert {metric for metric, _ in asked} >= words.keys()
    assert [each for each in asked if each[0] in words and each[1] not in words[each[0]]] == []
