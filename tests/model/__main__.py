"""`python -m tests.model [DEPTH [STEP ...]]`: explores all interleavings of six steps, or of DEPTH.

It begins with an order that is read and told, and after these STEPs where there are any. Exit code
1 where a promise broke; each such way is printed.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from service import embedded
from service.storage.database import upgrade
from tests.model.explorer import Explored, explore
from tests.model.rest import model_on


async def main(depth: int, start: Sequence[str]) -> Explored:
    with (
        TemporaryDirectory(prefix="settled-model-") as folder,
        embedded.running(Path(folder) / "data") as urls,
    ):
        upgrade(urls.postgres)
        async with model_on(urls, with_ing=False) as model:
            return await explore(model, depth=depth, start=start, violations_max=10, tell=_tell)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    started = time.monotonic()
    explored = asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 6, sys.argv[2:]))
    for violation in explored.violations:
        _tell(violation)
    _tell(f"{explored.transitions} transitions in {time.monotonic() - started:.0f} s")
    sys.stdout.write(f"{explored}\n")
    sys.exit(1 if explored.violations else 0)
