"""A child process of ours: whom it runs as, and that it does not outlive us."""

import ctypes
import os
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# Numbers from linux/prctl.h and linux/capability.h.
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class ServerUser:
    """Whom a server runs as when root starts it, and whether it may search closed directories."""

    uid: int
    gid: int
    searches: bool

    def become(self) -> None:
        """Give up root in this process: one capability is kept if `searches`, else none."""
        if self.searches:
            # Keeps capabilities over setuid, and counts them in access(2), by which PostgreSQL
            # asks whether it may run its own programs.
            _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
        os.setgroups([])
        os.setgid(self.gid)
        os.setuid(self.uid)
        kept = 1 << _CAP_DAC_READ_SEARCH if self.searches else 0
        header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
        sets = struct.pack("6I", kept, kept, kept, 0, 0, 0)  # effective, permitted, inheritable
        _checked(_libc.capset(header, sets))
        if self.searches:
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH)


def launch(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None,
    death_signal: signal.Signals,
    output: IO[bytes] | int,
    directory: Path | None = None,
    user: ServerUser | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in its own session, so that Ctrl-C of the terminal does not reach it.

    It gets death_signal when the calling thread ends, dumps no core and gains no privilege.
    environment None is ours; output takes stdout and stderr; user None is us.
    """
    parent = os.getpid()

    def before_exec() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if user is not None:
            user.become()
        if sys.platform == "linux":
            _prctl(_PR_SET_NO_NEW_PRIVS, 1)
            # After the change of user, which clears it.
            _prctl(_PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:  # The parent was killed before the line above.
            os._exit(1)

    return subprocess.Popen(
        command,
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=before_exec,
    )


def stop(process: subprocess.Popen[bytes], steps: Sequence[tuple[signal.Signals, float]]) -> int:
    """Send each signal and wait its seconds; then kill the group. Returns the exit code."""
    for number, seconds in steps:
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _prctl(option: int, *arguments: int) -> None:
    _checked(_libc.prctl(option, *map(ctypes.c_ulong, (*arguments, 0, 0, 0, 0)[:4])))


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
