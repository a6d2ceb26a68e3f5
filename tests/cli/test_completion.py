"""What a shell is offered when somebody presses Tab."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli.completion import names_in
from tests.cli.command import settled

CONFIGURATION = """
[[account]]
name = "ginger-nl"
api_key_env = "NOT_SET_IN_A_SHELL"
[[account]]
name = "gc-live"
[[endpoint]]
name = "erp"
"""


def offered(folder: Path, line: str) -> list[str]:
    """Return what is offered for the last word of a line, as bash asks for it."""
    environ = {
        "_SETTLED_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    ended = settled(folder=folder, environ=environ)
    assert ended.stderr == ""
    return [item.partition(",")[2] for item in ended.stdout.splitlines() if item]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_asks_the_command(tmp_path: Path, shell: str) -> None:
    ended = settled("completion", shell, folder=tmp_path)

    assert ended.returncode == 0
    assert f"_SETTLED_COMPLETE={shell}_complete" in ended.stdout


def test_bash_offers_names_once_it_has_read_the_script(tmp_path: Path) -> None:
    (tmp_path / "settled.toml").write_text(CONFIGURATION)
    command = tmp_path / "settled"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m service.cli.main "$@"\n')
    command.chmod(0o755)
    pressed = f"""
        {settled("completion", "bash", folder=tmp_path).stdout}
        COMP_WORDS=(settled accounts check g); COMP_CWORD=3
        _settled_completion {command}
        echo "${{COMPREPLY[@]}}"
    """
    bash = subprocess.run(
        ["bash", "-c", pressed], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip

    assert bash.stdout == "ginger-nl gc-live\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("settled re", ["requests", "recover", "reconcile"]),
        ("settled endpoints pa", ["pause"]),
        ("settled accounts check g", ["ginger-nl", "gc-live"]),
        ("settled events list --account gi", ["ginger-nl"]),
        ("settled endpoints pause --config other.toml ", ["elsewhere"]),
        ("settled recover --endpoint ", ["erp"]),
        ("settled orders show ", []),
        ("settled requests sync ", []),
    ],
)
def test_verbs_and_configured_names_are_offered_and_ids_are_not(
    tmp_path: Path, line: str, expected: list[str]
) -> None:
    (tmp_path / "settled.toml").write_text(CONFIGURATION)
    (tmp_path / "other.toml").write_text('[[endpoint]]\nname = "elsewhere"\n')

    assert offered(tmp_path, line) == expected


@pytest.mark.parametrize(
    "text", ["account = 3", "[[account]]\nname = 3", "[account]\nname = 'a'", "not TOML", "\udcff"]
)
def test_a_file_with_a_mistake_offers_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "settled.toml"
    file.write_bytes(text.encode(errors="surrogateescape"))

    assert names_in(file, "account") == []
    assert names_in(tmp_path / "none.toml", "account") == []
