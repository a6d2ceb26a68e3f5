"""Who may import whom, and that names in the source say what they should."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_embedded import REPOSITORY

SOURCES = sorted(
    path for package in ("service", "workers") for path in (REPOSITORY / package).rglob("*.py")
)
NAMES_THAT_SAY_NOTHING = {"utils", "helpers", "common", "misc", "base", "manager"}
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
METRICS = {"Counter", "Histogram", "Gauge", "Asked"}
# `noun.past_participle`: the last word is a participle, and these are the irregular ones.
EVENT = re.compile(r"[a-z]+(_[a-z]+)*\.(?P<past>[a-z]+(_[a-z]+)*)", re.ASCII)
IRREGULAR = {
    "begun", "broken", "found", "given_up", "held", "kept", "left", "lost", "made", "met", "rung",
    "resent", "run_out", "seen", "sent", "set_aside", "stuck", "swept", "taken_over", "told",
    "withdrawn", "not_started",
}  # fmt: skip


def calls() -> Iterator[tuple[Path, ast.Call]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield path, node


def first_argument(call: ast.Call) -> str:
    match call.args:
        case [ast.Constant(str(text)), *_]:
            return text
        case _:
            return ""


def event_names() -> Iterator[tuple[str, str]]:
    """Yield where each structlog event is logged, and its name: empty where it is no literal."""
    for path, call in calls():
        match call.func:
            case ast.Attribute(value=ast.Name("log"), attr=level) if level in LEVELS:
                yield f"{path.relative_to(REPOSITORY)}:{call.lineno}", first_argument(call)
            case _:
                pass


def metric_names() -> list[str]:
    declared = [
        first_argument(call)
        for _, call in calls()
        if isinstance(call.func, ast.Name) and call.func.id in METRICS
    ]
    return [name for name in declared if name]


def is_past_participle(text: str) -> bool:
    return text in IRREGULAR or text.split("_")[0].endswith("ed")


def test_imports_keep_their_contracts() -> None:
    lint = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    linted = subprocess.run(lint, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert linted.returncode == 0, linted.stdout


def test_log_events_are_a_noun_and_what_happened_to_it() -> None:
    named = list(event_names())
    odd = [
        (where, name)
        for where, name in named
        if not (parts := EVENT.fullmatch(name)) or not is_past_participle(parts["past"])
    ]

    assert named
    assert odd == []


@pytest.mark.parametrize("name", ["request.sync", "webhook", "Webhook.stored", "it was stored"])
def test_the_check_of_event_names_can_fail(name: str) -> None:
    parts = EVENT.fullmatch(name)

    assert parts is None or not is_past_participle(parts["past"])


def test_no_two_metrics_share_a_name() -> None:
    names = metric_names()

    assert names
    assert sorted(names) == sorted(set(names))
    assert all(name.startswith("settled_") for name in names)


def test_every_file_is_named_for_what_it_does() -> None:
    parts = {part for path in SOURCES for part in path.relative_to(REPOSITORY).parts}

    assert not NAMES_THAT_SAY_NOTHING & {part.removesuffix(".py") for part in parts}
