"""Where the servers and their files are, who may enter, and whom the servers run as."""

import importlib.util
import os
import pwd
import stat
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from service.embedded.child import ServerUser
from service.errors import Misconfigured

# A unix socket's path has at most 107 bytes, so the sockets cannot live below any data_dir.
SOCKETS_PARENT = Path("/tmp")  # noqa: S108 - mkdtemp makes a new private directory in it
SOCKETS_PREFIX = "settled-"


def server_user(executable: Path, data_dir: Path) -> ServerUser | None:
    """Return whom to run as, None for ourselves. Raises Misconfigured if that cannot work."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise Misconfigured(
            "embedded servers cannot run as root and there is no user `nobody` to run as:"
            " start as an ordinary user"
        ) from error
    parents = [*reversed(executable.parents), *reversed(data_dir.parents), data_dir]
    closed = [path for path in parents if not _may_search(path, nobody)]
    user = ServerUser(nobody.pw_uid, nobody.pw_gid, searches=bool(closed))
    try:
        subprocess.run(
            [executable, "--version"],
            stdout=subprocess.DEVNULL,
            preexec_fn=user.become,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        where = closed[0] if closed else executable
        raise Misconfigured(
            f"{where} is closed to the user `nobody`, as which the embedded servers run when root"
            " starts them, and the capability to search it (CAP_DAC_READ_SEARCH) cannot be had"
            " here: choose another data_dir, or run as an ordinary user"
        ) from error
    return user


def _may_search(path: Path, user: pwd.struct_passwd) -> bool:
    found = path.stat()
    if found.st_uid == user.pw_uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == user.pw_gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def make_data_dir(data_dir: Path) -> None:
    """Make it 0711: the servers' user may pass through but not look around."""
    if data_dir.is_dir():
        return
    try:
        data_dir.mkdir(parents=True)
        data_dir.chmod(0o711)
    except OSError as error:
        raise Misconfigured(
            f"{data_dir} cannot be made: {error.strerror}; choose another data_dir"
        ) from error


def make_private(path: Path, user: ServerUser | None) -> None:
    path.mkdir(mode=0o700)
    give(path, user)


def give(path: Path, user: ServerUser | None) -> None:
    if user is not None:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def check_owner(directory: Path, user: ServerUser | None) -> None:
    expected = os.geteuid() if user is None else user.uid
    found = directory.stat().st_uid
    if found != expected:
        raise Misconfigured(
            f"{directory} belongs to user {found}, but its server would run as user {expected}:"
            " start as the user who started it first, or choose another data_dir"
        )


def make_sockets(link: Path, user: ServerUser | None) -> None:
    """Point the link to a private directory: the one from before, if it is still ours."""
    if link.is_symlink() and _is_private(link.readlink(), user):
        return
    sockets = Path(tempfile.mkdtemp(prefix=SOCKETS_PREFIX, dir=SOCKETS_PARENT))
    give(sockets, user)
    made = link.with_name("sockets.new")
    made.unlink(missing_ok=True)
    made.symlink_to(sockets)
    made.replace(link)


def _is_private(path: Path, user: ServerUser | None) -> bool:
    expected = os.geteuid() if user is None else user.uid
    with suppress(FileNotFoundError):
        found = path.lstat()
        private = stat.S_IMODE(found.st_mode) == 0o700 and found.st_uid == expected
        return private and stat.S_ISDIR(found.st_mode)
    return False


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def in_wheel(package: str, path: str) -> Path | None:
    """Find a file of an installed package without importing it: its import has side effects."""
    spec = importlib.util.find_spec(package)
    for location in (spec and spec.submodule_search_locations) or ():
        found = Path(location) / path
        if found.is_file():
            return found
    return None
