"""Steps as OpenTelemetry spans; the only file that imports it, and `traces` imports this one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.domain.trace import traceparent_of

PROPAGATOR = TraceContextTextMapPropagator()
KINDS = {"deliver": SpanKind.CLIENT, "sync": SpanKind.CLIENT}
# For one batch with all its tries: beat has 5 s to stop, and the last batch goes out meanwhile.
EXPORT_SECONDS_MAX = 2.0
NANOSECONDS = 1_000_000_000


def spans_to(collector: str, *, role: str) -> "Spans":
    """Return what sends spans to an OTLP collector in batches; the rest when the process ends."""
    provider = TracerProvider(resource=Resource({"service.name": "settled", "settled.role": role}))
    exporter = OTLPSpanExporter(f"{collector.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS_MAX)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Spans(provider)


class Spans:
    """Implements traces.Tracer. Errors are not recorded: their texts may hold what came in."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("settled")

    @contextmanager
    def receiving(self, account: str, headers: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
        carried: dict[str, str] = {}
        with self._tracer.start_as_current_span(
            "receive",
            _below(headers.get("traceparent", "")),
            kind=SpanKind.SERVER,
            attributes={"settled.account": account},
            record_exception=False,
            set_status_on_exception=False,
        ):
            PROPAGATOR.inject(carried)
            yield {**headers, **carried}

    def tell(
        self,
        step: str,
        traceparent: str,
        facts: Mapping[str, str | int],
        *,
        seconds: float,
        ended_at: datetime,
    ) -> None:
        ended = int(ended_at.timestamp() * NANOSECONDS)
        span = self._tracer.start_span(
            step,
            _below(traceparent),
            kind=KINDS.get(step, SpanKind.INTERNAL),
            attributes={f"settled.{name}": value for name, value in facts.items()},
            start_time=ended - int(seconds * NANOSECONDS),
        )
        span.end(ended)


def _below(text: str) -> Context:
    """Return where a step below a traceparent belongs: at the root for one that says nothing."""
    traceparent = traceparent_of(text)
    return PROPAGATOR.extract({"traceparent": traceparent} if traceparent else {}, Context())
