"""One trace from the webhook to the ERP, and nothing at all without a collector."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.errors import Misconfigured
from service.telemetry import traces
from service.telemetry.spans import Spans
from service.telemetry.traces import receiving, tell

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOT_RECORDED = TRACE[:-1] + "0"
AT = datetime(2026, 11, 20, 14, 31, tzinfo=UTC)


@contextmanager
def traced() -> Iterator[InMemorySpanExporter]:
    """Have steps told to a collector in memory."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    traces.use(Spans(provider))
    try:
        yield kept
    finally:
        traces.use(None)


def ids(span: ReadableSpan) -> tuple[str, str]:
    """Return the trace of a span and the span itself, as a traceparent writes them."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def test_a_webhook_without_a_trace_begins_one_that_later_steps_belong_to() -> None:
    with traced() as kept:
        with receiving("ginger-nl", {"accept": "*/*"}) as headers:
            carried = headers["traceparent"]
        tell("sync", carried, {"account": "ginger-nl"}, seconds=1.5, ended_at=AT)

    receive, sync = kept.get_finished_spans()
    assert (receive.name, receive.parent, sync.name) == ("receive", None, "sync")
    assert carried.startswith(f"00-{'-'.join(ids(receive))}-")
    assert ids(sync)[0] == ids(receive)[0]
    assert sync.parent is not None
    assert f"{sync.parent.span_id:016x}" == ids(receive)[1]
    assert sync.start_time is not None
    assert sync.end_time == sync.start_time + 1_500_000_000 == int(AT.timestamp()) * 10**9
    assert dict(sync.attributes or {}) == {"settled.account": "ginger-nl"}


def test_a_trace_that_came_along_is_gone_on_with() -> None:
    with traced() as kept, receiving("ginger-nl", {"traceparent": TRACE}) as headers:
        pass

    (receive,) = kept.get_finished_spans()
    assert headers["traceparent"].startswith(f"00-{'-'.join(ids(receive))}-")
    assert ids(receive)[0] == TRACE.split("-")[1]


@pytest.mark.parametrize("text", ["", "00-not-a-trace-01", "ff" + TRACE[2:]])
def test_what_is_no_trace_begins_a_new_one(text: str) -> None:
    with traced() as kept, receiving("ginger-nl", {"traceparent": text}):
        pass

    (receive,) = kept.get_finished_spans()
    assert receive.parent is None


def test_a_trace_that_is_not_to_be_recorded_is_carried_on_and_not_told() -> None:
    with traced() as kept, receiving("ginger-nl", {"traceparent": NOT_RECORDED}) as headers:
        tell("sync", headers["traceparent"], {}, seconds=0, ended_at=AT)

    assert headers["traceparent"].startswith(NOT_RECORDED[:36])
    assert headers["traceparent"].endswith("-00")
    assert kept.get_finished_spans() == ()


def test_a_call_that_fails_shows_nothing_of_what_came_in() -> None:
    with traced() as kept, pytest.raises(ValueError), receiving("a", {}):  # noqa: PT011 - any text
        raise ValueError("NL91 ABNA 0417 1643 00")

    (receive,) = kept.get_finished_spans()
    assert (list(receive.events), receive.status.description) == ([], None)


def test_without_a_collector_headers_stay_as_they_came_and_steps_are_nobodys() -> None:
    headers = {"traceparent": TRACE}
    with receiving("ginger-nl", headers) as carried:
        tell("sync", TRACE, {}, seconds=0, ended_at=AT)

    assert carried is headers


def test_every_process_can_start_where_the_extra_is_not_installed() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None;"
        "import service.web.app, service.cli.processes, workers.app, workers.beat;"
        "print('service.telemetry.spans' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "False"


def test_a_collector_without_the_extra_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "service.telemetry.spans")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    with pytest.raises(Misconfigured, match=r"pip install 'settled\[otel\]'"):
        traces.send_to("http://127.0.0.1:4318", role="web")
