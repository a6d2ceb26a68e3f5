"""A plugin for the pytest that runs on a copy: notes how each test ended, and which code ran.

Loaded by `-p tests.mutants.witness --witness FILE`.
"""

import json
from collections.abc import Generator
from pathlib import Path

import pytest

import service
import workers

_endings: list[dict[str, str]] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--witness", type=Path, required=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    error = call.excinfo
    _endings.append(
        {
            "test": item.nodeid.partition("[")[0],
            "when": report.when,
            "outcome": report.outcome,
            "error": error.typename if error else "",
            "says": error.exconly() if error else "",
            "where": _place_of(error, item.config.rootpath) if error else "",
        }
    )
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    imported = [str(package.__file__) for package in (service, workers)]
    session.config.getoption("--witness").write_text(
        json.dumps({"imported": imported, "endings": _endings}), encoding="utf-8"
    )


def _place_of(error: pytest.ExceptionInfo[BaseException], root: Path) -> str:
    """Return the top folder of the innermost code of the copy that the exception came through."""
    inside = [
        entry.path.relative_to(root)
        for entry in error.traceback
        if isinstance(entry.path, Path) and entry.path.is_relative_to(root)
    ]
    return inside[-1].parts[0] if inside else ""
