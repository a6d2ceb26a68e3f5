"""Forks a process for each command line, from one that has imported every verb.

To import them anew for each command costs more than most commands do. Each still runs the real
entry point in a process of its own, with its own folder, standard streams and exit code; only
what a verb imports, and when, has to be looked at elsewhere.

Speaks on a Unix socket, one command a connection: a line of JSON comes in, the process id goes
out at once and the exit code at the end.
"""

import json
import os
import socket
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from service.cli import main

# What verbs import when they run.
PRELOADED = (
    "service.flow.check",
    "service.flow.reconcile",
    "service.runtime",
    "service.storage.views.requests",
)


def serve(address: Path) -> None:
    """Fork for each connection, for ever; returns in the process of a command, to run it."""
    for verb in main.VERBS.values():
        import_module(f"service.cli.{verb.target.partition(':')[0]}")
    for name in PRELOADED:
        import_module(name)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address))
        listening.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            connection, _ = listening.accept()
            if not os.fork():
                break
            connection.close()
            _reap()
    with connection, connection.makefile("rw") as lines:
        command = json.loads(lines.readline())
        if child := os.fork():
            print(child, file=lines, flush=True)
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status), file=lines, flush=True)
            os._exit(0)
    _become(command)


def _reap() -> None:
    """Take in the processes that have ended since the last connection."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return


def _become(command: dict[str, Any]) -> None:
    """Take on the folder, the environment, the streams and the words of a command."""
    os.chdir(command["folder"])
    os.environ.clear()
    os.environ.update(command["environ"])
    for number, name in enumerate((os.devnull, command["stdout"], command["stderr"])):
        opened = os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["settled", *command["arguments"]]


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
    main.main()
