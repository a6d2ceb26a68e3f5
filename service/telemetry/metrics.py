"""Every metric, declared once.

Counters and histograms are kept by each process. With PROMETHEUS_MULTIPROC_DIR set they lie in
files there, and `render` adds up all processes of the machine, those that have ended too; where no
receiver shares the folder, whoever supervises the processes tells them with `serve`. Gauges are not
kept at all: the caller reads them from the database when it is asked. Label values come from the
configuration or from our own words, never from outside.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

# The library's variable: processes that share the folder are added up.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"

WEBHOOKS = Counter("settled_webhooks_total", "Webhook calls answered.", ("account", "outcome"))
EVENTS = Counter(
    "settled_events_total", "Events of webhook calls, by verdict.", ("account", "verdict")
)
READS = Counter(
    "settled_reads_total", "Reads of requests at their provider.", ("account", "outcome")
)
TRANSITIONS = Counter(
    "settled_transitions_total",
    "Changes recorded, by what made us look.",
    ("account", "observed_by"),
)
DELIVERIES = Counter(
    "settled_deliveries_total", "Attempts to deliver a notification.", ("endpoint", "outcome")
)
WAKES = Counter("settled_wakes_total", "Wake-up calls to workers.", ("queue", "outcome"))

# The provider with the least patience gives up after 4 s. Source: CONTRACT.md, section 4.
WEBHOOK_SECONDS = Histogram(
    "settled_webhook_duration_seconds",
    "From a webhook call's last byte to our answer.",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3.5, 5),
)
COMMIT_EVENTS = Histogram(
    "settled_commit_events",
    "Events stored by one commit.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
READ_SECONDS = Histogram(
    "settled_read_duration_seconds",
    "One read of a request at its provider, all its calls together.",
    ("account",),
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30),
)
# The default time-out of an endpoint is 20 s. Source: CONTRACT.md, section 3.
DELIVERY_SECONDS = Histogram(
    "settled_delivery_duration_seconds",
    "One attempt to deliver a notification.",
    ("endpoint",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30),
)


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value as it is now, once per set of labels; every sample has the same label names."""

    name: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]


class _Computed(Collector):
    """Hands gauges that were computed elsewhere to the renderer."""

    def __init__(self, gauges: Iterable[Gauge]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for gauge in self._gauges:
            names = sorted({name for labels, _ in gauge.samples for name in labels})
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=names)
            for labels, value in gauge.samples:
                family.add_metric([labels[name] for name in names], value)
            yield family


def render(gauges: Iterable[Gauge]) -> bytes:
    """Return all metrics and these gauges as Prometheus text."""
    text = generate_latest(_kept())
    computed = CollectorRegistry()
    computed.register(_Computed(gauges))
    return text + generate_latest(computed)


def _kept() -> CollectorRegistry:
    """Return the metrics of all processes of this machine, or of this one where it is alone."""
    folder = os.environ.get(FOLDER)
    return REGISTRY if folder is None else _added_up(folder)


def _added_up(folder: str) -> CollectorRegistry:
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]  # the library's own gap
    return registry


def serve(folder: str, *, host: str, port: int) -> None:
    """Answer scrapes with the counters in folder, from a thread that ends with this process.

    Raises OSError when the address is taken.
    """
    start_http_server(port, host, _added_up(folder))
