import os
import subprocess
import sys
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from service.telemetry import metrics
from service.telemetry.metrics import Gauge, render, serve
from tests.bench.processes import free_port

COUNT_TWO = """
from service.telemetry import metrics
metrics.WEBHOOKS.labels("gc-live", "stored").inc(2)
metrics.READ_SECONDS.labels("gc-live").observe(0.2)
"""


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the value of each sample by its name and its labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_a_counter_keeps_the_name_that_dashboards_read() -> None:
    metrics.DELIVERIES.labels(endpoint="counted here", outcome="delivered").inc(3)

    labels = (("endpoint", "counted here"), ("outcome", "delivered"))
    assert samples(render([]))["settled_deliveries_total", labels] == 3


def test_a_gauge_shows_what_the_caller_computed() -> None:
    backlog = Gauge(
        "settled_backlog", "Waiting.", [({"endpoint": "erp"}, 7), ({"endpoint": "b"}, 0)]
    )
    found = samples(render([backlog]))

    assert found["settled_backlog", (("endpoint", "erp"),)] == 7
    assert found["settled_backlog", (("endpoint", "b"),)] == 0


def test_a_gauge_may_do_without_labels_or_samples() -> None:
    found = samples(render([Gauge("settled_lag", "Lag.", [({}, 1.5)]), Gauge("settled_x", "", [])]))

    assert found["settled_lag", ()] == 1.5


def test_the_same_gauges_can_be_asked_for_again() -> None:
    gauges = [Gauge("settled_lag", "Lag.", [({}, 1.5)])]

    assert samples(render(gauges))["settled_lag", ()] == 1.5
    assert samples(render(gauges))["settled_lag", ()] == 1.5


def test_the_processes_of_a_machine_are_added_up(tmp_path: Path) -> None:
    environ = {**os.environ, metrics.FOLDER: str(tmp_path)}
    show = (
        "import sys; from service.telemetry import metrics; sys.stdout.buffer.write("
        "metrics.render([metrics.Gauge('settled_lag', 'Lag.', [({}, 1.5)])]))"
    )
    for code in (COUNT_TWO, COUNT_TWO):
        subprocess.run([sys.executable, "-c", code], env=environ, check=True)
    shown = subprocess.run(
        [sys.executable, "-c", show], env=environ, check=True, capture_output=True
    )

    found = samples(shown.stdout)
    assert found["settled_webhooks_total", (("account", "gc-live"), ("outcome", "stored"))] == 4
    assert found["settled_read_duration_seconds_count", (("account", "gc-live"),)] == 2
    assert found["settled_lag", ()] == 1.5


def test_who_supervises_tells_the_counters_of_processes_that_have_ended_too(
    tmp_path: Path,
) -> None:
    environ = {**os.environ, metrics.FOLDER: str(tmp_path)}
    port = free_port()
    serve(str(tmp_path), host="127.0.0.1", port=port)

    for times in (1, 2):
        subprocess.run([sys.executable, "-c", COUNT_TWO], env=environ, check=True)
        found = samples(httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).content)
        labels = (("account", "gc-live"), ("outcome", "stored"))
        assert found["settled_webhooks_total", labels] == 2 * times
