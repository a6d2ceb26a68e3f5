"""What is promised of all verbs alike: their help, their options, and their first words."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import click
import pytest

from service.cli.exits import MEANINGS
from service.cli.main import settled as group
from tests.cli.command import settled

# Those that run until they are told to stop, and the script for a shell.
PROCESSES = {"up", "web", "worker", "beat", "sandbox"}
NO_DATA = PROCESSES | {"init", "completion"}
JSON_ALREADY = {"evidence write"}
WRITES_OR_SENDS = {
    "init",
    "db upgrade",
    "requests sync",
    "events replay",
    "deliveries resend",
    "endpoints pause",
    "endpoints resume",
    "endpoints test",
    "recover",
    "reconcile",
    "evidence write",
    "trigger",
}

# Calls each verb that reads a configuration, in one process, and tells what it said.
CALL_ALL = """
import json, socket, sys
from click.testing import CliRunner
from service.cli.main import settled
busy = socket.create_server(("127.0.0.1", 0))
for line in json.loads(sys.argv[1]):
    words = [word.replace("BUSY", "127.0.0.1:%d" % busy.getsockname()[1]) for word in line]
    said = CliRunner().invoke(settled, words)
    print("VERB", json.dumps([line, said.stdout, said.stderr]), flush=True)
"""
ENDED_EARLY = {"web": ["--listen", "nowhere"], "sandbox": ["--listen", "BUSY"]}
SUPERVISED = ("worker", "beat")

Verb = tuple[str, click.Command]


def verbs(parent: click.Group = group, path: tuple[str, ...] = ()) -> Iterator[Verb]:
    """Yield every verb and group of verbs, each with its words."""
    context = click.Context(parent)
    for name in parent.list_commands(context):
        command = parent.get_command(context, name)
        assert command is not None
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from verbs(command, (*path, name))


ALL = dict(verbs())
LEAVES = {name: verb for name, verb in ALL.items() if not isinstance(verb, click.Group)}


def options_of(verb: click.Command) -> set[str]:
    return {option for parameter in verb.params for option in parameter.opts}


def line_of(name: str, verb: click.Command, config: Path) -> list[str]:
    """Return a command line for a verb, with a value for all that it requires."""
    line = [*name.split(), "--config", str(config), *ENDED_EARLY.get(name, [])]
    for parameter in verb.params:
        if parameter.required and isinstance(parameter, click.Option):
            line += [parameter.opts[0], {"--since": "1h"}.get(parameter.opts[0], "erp")]
        elif parameter.required:
            line.append({"name": "erp"}.get(parameter.name or "", "INV-1"))
    return line


def test_each_help_has_an_example_of_its_own() -> None:
    bare = [
        name for name, verb in ALL.items() if f"Example: settled {name}" not in (verb.help or "")
    ]

    # Of `evidence` its short form is the example: `settled evidence ID`.
    assert bare == ["evidence write"]
    assert "Example: settled evidence prq_" in (ALL["evidence write"].help or "")


def test_whatever_shows_data_can_show_json() -> None:
    mute = {name for name, verb in LEAVES.items() if "--json" not in options_of(verb)}

    assert mute == NO_DATA | JSON_ALREADY


def test_whatever_writes_or_sends_can_be_tried_dry() -> None:
    dry = {name for name, verb in LEAVES.items() if "--dry-run" in options_of(verb)}

    assert dry == WRITES_OR_SENDS


def test_exit_codes_are_explained_once() -> None:
    overview = group.get_help(click.Context(group))

    for code, meaning in MEANINGS.items():
        assert f"{code}".ljust(5) + meaning in overview
    assert not [name for name, verb in ALL.items() if "Exit codes" in (verb.help or "")]


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A live configuration whose servers are not there."""
    config = tmp_path / "settled.toml"
    config.write_text(
        '[database]\nurl = "postgresql://me:hush@127.0.0.1:1/books"\n'
        '[redis]\nurl = "redis://127.0.0.1:1"\n'
        '[settled]\nmode = "live"\nworkers = 1\n'
        '[[endpoint]]\nname = "erp"\nurl = "https://127.0.0.1:1/"\n'
        'secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]\n'
    )
    return config


def test_each_verb_says_first_which_configuration_database_and_mode_it_takes(
    nowhere: Path,
) -> None:
    lines = [
        line_of(name, verb, nowhere)
        for name, verb in LEAVES.items()
        if "--config" in options_of(verb) and name not in SUPERVISED
    ]
    called = subprocess.run(
        [sys.executable, "-c", CALL_ALL, json.dumps(lines)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    said = [json.loads(line[5:]) for line in called.stdout.splitlines() if line[:5] == "VERB "]

    first = f"settled LIVE: {nowhere}, database books at 127.0.0.1:1"
    assert len(said) == len(lines) > 20
    assert [line for line, _, stderr in said if stderr.partition("\n")[0] != first] == []
    assert not [line for line, *both in said if "\x1b" in "".join(both) or "\r" in "".join(both)]
    assert "hush" not in called.stdout + called.stderr


@pytest.mark.parametrize("verb", SUPERVISED)
def test_a_process_says_so_too(verb: str, nowhere: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli.main", verb, "--config", nowhere],
        stderr=PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    first = process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    assert first == f"settled LIVE: {nowhere}, database books at 127.0.0.1:1\n"


def test_a_dry_trigger_says_what_it_would_ask_and_needs_no_sandbox(tmp_path: Path) -> None:
    asked = ("--sandbox-url", "http://127.0.0.1:1", "--amount", "250", "--dry-run")

    ended = settled("trigger", "ginger/nl", "paid", *asked, folder=tmp_path)

    assert (ended.returncode, ended.stdout) == (0, "")
    url = "http://127.0.0.1:1/sandbox/accounts/ginger%2Fnl/stories/paid"
    assert f'POST {url} with {{"amount": 250}}; nothing was changed or sent' in ended.stderr


def test_a_database_url_that_nobody_can_read_is_3_and_stays_secret(tmp_path: Path) -> None:
    (tmp_path / "settled.toml").write_text('[database]\nurl = "postgresql://me:hu%sh@host/a"\n')

    ended = settled("orders", "list", folder=tmp_path)

    assert ended.returncode == 3
    assert "settled.toml: database.url: expected a URL" in ended.stderr
    assert "hu%sh" not in ended.stderr


@pytest.mark.parametrize(("no_color", "is_styled"), [("", True), ("1", False)])
def test_no_color_means_a_table_without_control_characters(no_color: str, is_styled: bool) -> None:
    show = "from service.cli.output import show_table; show_table(['name'], [['erp']])"
    outer, inner = os.openpty()
    environ = os.environ | {"TERM": "xterm", "NO_COLOR": no_color}
    subprocess.run([sys.executable, "-c", show], stdout=inner, env=environ, check=True)
    os.close(inner)
    shown = os.read(outer, 10_000)
    os.close(outer)

    assert b"erp" in shown
    assert (b"\x1b" in shown) is is_styled
