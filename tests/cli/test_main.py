import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import main
from service.cli.exits import NotConfirmed, ProblemFound, exit_code_of
from service.errors import Misconfigured, NotFound, Unavailable, Unreadable
from tests.cli.command import settled

HEAVY = {"celery", "httpx", "psycopg", "rich", "starlette", "msgspec", "structlog", "redis"}
LIST_IMPORTS = """
import json, sys
from service.cli.main import run
code = run(["--help"])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def test_help_imports_no_heavy_package() -> None:
    process = subprocess.run(
        [sys.executable, "-c", LIST_IMPORTS], capture_output=True, text=True, check=True
    )
    code, imported = json.loads(process.stdout.splitlines()[-1])

    assert code == 0
    assert HEAVY.isdisjoint(imported)


def test_help_names_every_verb(tmp_path: Path) -> None:
    shown = settled("--help", folder=tmp_path)

    assert shown.returncode == 0
    for name, verb in main.VERBS.items():
        assert name in shown.stdout
        assert verb.help in shown.stdout


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Misconfigured("x"), 3),
        (Unavailable("x"), 4),
        (NotFound("x"), 5),
        (ProblemFound("x"), 6),
        (NotConfirmed("x"), 7),
        (Unreadable("x"), 1),
    ],
)
def test_each_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert exit_code_of(error) == code


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["explain", "ginger", "completed"], 0),
        ([], 2),
        (["exlain"], 2),
        (["explain", "ginger"], 2),
        (["init", "--no-such-option"], 2),
        (["explain", "ginger", "banana"], 5),
        (["init", "there.toml"], 7),
    ],
)
def test_the_process_ends_with_the_code_of_the_contract(
    tmp_path: Path, arguments: list[str], code: int
) -> None:
    (tmp_path / "there.toml").touch()

    ended = settled(*arguments, folder=tmp_path)

    assert ended.returncode == code
    assert bool(ended.stderr) == (code != 0)


@pytest.mark.parametrize(("debug", "has_traceback"), [("0", False), ("1", True)])
def test_an_unexpected_error_shows_its_traceback_only_when_debugging(
    debug: str, has_traceback: bool
) -> None:
    with Path("/dev/full").open("w") as full_disk:
        ended = subprocess.run(
            [sys.executable, "-m", "service.cli.main", "explain", "ginger", "completed"],
            env={**os.environ, "SETTLED_DEBUG": debug, "PYTHONUNBUFFERED": ""},
            stdout=full_disk,
            stderr=subprocess.PIPE,
            text=True,
        )

    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert ("Traceback" in ended.stderr) is has_traceback


def test_an_interrupt_ends_with_130(tmp_path: Path) -> None:
    secret, body = tmp_path / "secret", tmp_path / "body"
    secret.write_text("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3")
    os.mkfifo(body)
    files = ["--secret-file", str(secret), "--headers", os.devnull, "--body", str(body)]
    process = subprocess.Popen([sys.executable, "-m", "service.cli.main", "verify", *files])
    with body.open("wb"):  # Opens once the verb has it open too; the verb then waits for bytes.
        interrupt_until_it_ends(process)

    assert process.returncode == 130


def interrupt_until_it_ends(process: subprocess.Popen[bytes]) -> None:
    """Interrupt again and again: one that comes just before a read does not end that read."""
    for _ in range(100):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
            return
    process.kill()
    process.wait()
