"""One trace from a provider's webhook to the ERP, for whoever has a collector for traces.

Off unless `[settled] traces` names a collector; OpenTelemetry, an extra, is imported only then. The
steps of a trace are in several processes: what joins them is the traceparent that the receiver
stores with the events, that due rows and notifications carry on, and that the ERP is handed.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Protocol

from service.errors import Misconfigured


class Tracer(Protocol):
    """Tells steps to a collector."""

    def receiving(
        self, account: str, headers: Mapping[str, str]
    ) -> AbstractContextManager[Mapping[str, str]]: ...

    def tell(
        self,
        step: str,
        traceparent: str,
        facts: Mapping[str, str | int],
        *,
        seconds: float,
        ended_at: datetime,
    ) -> None: ...


_tracer: Tracer | None = None


def send_to(collector: str | None, *, role: str) -> None:
    """Tell steps to an OTLP collector, such as http://127.0.0.1:4318, from now on; None to none.

    Raises Misconfigured without the extra `otel`.
    """
    if collector is None:
        return
    try:
        from service.telemetry.spans import spans_to
    except ModuleNotFoundError as error:
        raise Misconfigured(
            "settled.traces: expected the extra, pip install 'settled[otel]', or no such setting"
        ) from error
    use(spans_to(collector, role=role))


def use(tracer: Tracer | None) -> None:
    """Tell steps to tracer from now on."""
    global _tracer
    _tracer = tracer


def receiving(
    account: str, headers: Mapping[str, str]
) -> AbstractContextManager[Mapping[str, str]]:
    """Lend the headers of a webhook call whose traceparent names the step that lasts meanwhile.

    It is a step of the trace that the call brought along, else the first of a new one. While
    traces are off these are the headers as they came.
    """
    return nullcontext(headers) if _tracer is None else _tracer.receiving(account, headers)


def tell(
    step: str,
    traceparent: str | None,
    facts: Mapping[str, str | int],
    *,
    seconds: float,
    ended_at: datetime,
) -> None:
    """Tell a step that has ended; one that belongs to no trace is nobody's.

    facts are from the configuration or our own words and numbers, as with metrics.
    """
    if _tracer is not None and traceparent is not None:
        _tracer.tell(step, traceparent, facts, seconds=seconds, ended_at=ended_at)
