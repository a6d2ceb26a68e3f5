"""A share of a core: a process gets so much time of the processor, no more and no less.

Needs Linux, root, and a control group of processors that may be written to: /sys/fs/cgroup of
version 2, or cpu below it of version 1. Source: cgroups(7); the kernel's cgroup-v2, "CPU".
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
NAME = "settled-overload-{process}"

# So short that what is held back is not taken for a process that stands still.
PERIOD_MICROSECONDS = 10_000

# As if it were 16 processes: what else runs on the machine takes nothing of the share.
TIMES_ORDINARY = 16
SHARES_ORDINARY = 1_024  # of version 1
WEIGHT_ORDINARY = 100  # of version 2


class NoShare(Exception):
    """This machine lets us hold no process back."""


@contextmanager
def held_to(share: float, process: int) -> Iterator[None]:
    """Let a process have a share of one core while the block lasts. Raises NoShare."""
    quota = round(share * PERIOD_MICROSECONDS)
    is_first_version = not (ROOT / "cgroup.controllers").exists()
    parent = ROOT / "cpu" if is_first_version else ROOT
    group = parent / NAME.format(process=process)
    try:
        if not is_first_version:
            (parent / "cgroup.subtree_control").write_text("+cpu")
        group.mkdir()
        if is_first_version:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_MICROSECONDS))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
            (group / "cpu.shares").write_text(str(TIMES_ORDINARY * SHARES_ORDINARY))
        else:
            (group / "cpu.max").write_text(f"{quota} {PERIOD_MICROSECONDS}")
            (group / "cpu.weight").write_text(str(TIMES_ORDINARY * WEIGHT_ORDINARY))
        (group / "cgroup.procs").write_text(str(process))
    except OSError as error:
        raise NoShare(f"expected a control group to write to, as root: {error}") from error
    try:
        yield
    finally:
        (parent / "cgroup.procs").write_text(str(process))
        group.rmdir()
