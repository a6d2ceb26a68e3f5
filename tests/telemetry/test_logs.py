import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from service.telemetry import logs

# Valid by its check digits; the example that the Netherlands give in the IBAN registry.
IBAN = "NL91 ABNA 0417 1643 00"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def logged(capsys: pytest.CaptureFixture[str], event: str, **facts: object) -> dict[str, Any]:
    """Log one event as JSON and return its line."""
    logs.configure("json", role="worker")
    structlog.get_logger().info(event, **facts)
    (line,) = lines(capsys)
    return line


def test_a_line_is_json_on_stderr_with_utc_time_and_role(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = logged(capsys, "requests.synced", reads=3)

    assert line["event"] == "requests.synced"
    assert (line["reads"], line["level"], line["role"]) == (3, "info", "worker")
    assert line["timestamp"].endswith("Z")


def test_auto_means_json_where_nobody_looks_on(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("auto", role="web")
    structlog.get_logger().info("webhook.stored")

    assert lines(capsys)[0]["event"] == "webhook.stored"


def test_console_lines_are_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("console", role="web")
    structlog.get_logger().info("webhook.stored", account="gc-live")

    text = capsys.readouterr().err
    assert "webhook.stored" in text
    assert "account=gc-live" in text


def test_what_is_bound_to_the_work_is_on_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.contextvars.bind_contextvars(request_id="prq_1")

    assert logged(capsys, "request.synced")["request_id"] == "prq_1"


@pytest.mark.parametrize(
    "field",
    [
        "body",
        "headers",
        "signature",
        "webhook_secrets",
        "api_key",
        "access_token",
        "name",
        "authorization",
        "iban",
        "payer_iban",
        "customer-name",
        "EMail",
        "Set-Cookie",
    ],
)
def test_dangerous_fields_are_redacted(capsys: pytest.CaptureFixture[str], field: str) -> None:
    assert logged(capsys, "request.synced", **{field: "hunter2"})[field] == "[redacted]"


def test_dangerous_fields_are_found_inside_others(capsys: pytest.CaptureFixture[str]) -> None:
    line = logged(capsys, "request.synced", answers=[{"iban": "x", "status": "open"}])

    assert line["answers"] == [{"iban": "[redacted]", "status": "open"}]


def test_bytes_are_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert logged(capsys, "request.synced", answer=b"hunter2")["answer"] == "[redacted]"


def test_an_iban_is_redacted_wherever_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    line = logged(capsys, "request.synced", reason=f"from {IBAN}", other=IBAN.replace(" ", ""))

    assert (line["reason"], line["other"]) == ("from [redacted]", "[redacted]")


def test_an_id_in_the_shape_of_an_iban_stays(capsys: pytest.CaptureFixture[str]) -> None:
    assert logged(capsys, "request.synced", id="PM00123ABCDEFGH1")["id"] == "PM00123ABCDEFGH1"


def test_an_iban_in_a_traceback_is_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", role="worker")
    try:
        raise ValueError(f"cannot read {IBAN}")
    except ValueError:
        structlog.get_logger().exception("request.failed")

    exception = lines(capsys)[0]["exception"]
    assert exception.endswith("ValueError: cannot read [redacted]")


def test_text_is_cut_and_cannot_start_a_new_line(capsys: pytest.CaptureFixture[str]) -> None:
    line = logged(capsys, "request.synced", reason="a\r\n\x1b[31mb", long="x" * 300)

    assert line["reason"] == "a [31mb"
    assert line["long"] == "x" * 200 + "..."


def test_free_text_is_no_event(capsys: pytest.CaptureFixture[str]) -> None:
    line = logged(capsys, f"could not read {IBAN}")

    assert (line["event"], line["message"]) == ("log.misnamed", "could not read [redacted]")


@pytest.mark.parametrize("library", ["uvicorn.error", "celery", "asyncio", "any.other"])
def test_warnings_of_libraries_come_out_as_our_lines(
    capsys: pytest.CaptureFixture[str], library: str
) -> None:
    logs.configure("json", role="web")
    logging.getLogger(library).info("started")
    logging.getLogger(library).warning("lost %s", "it")

    (line,) = lines(capsys)
    assert (line["event"], line["library"]) == ("library.reported", library)
    assert (line["message"], line["level"], line["role"]) == ("lost it", "warning", "web")


def test_setting_up_twice_writes_each_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", role="web")
    logs.configure("json", role="web")
    logging.getLogger("uvicorn").warning("once")

    assert len(lines(capsys)) == 1
