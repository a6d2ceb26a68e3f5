"""`python -m tests.schema`: about a minute; ends with 0 only if every answer is as documented.

The real server on a socket, over a real PostgreSQL that holds one of everything. Provider and ERP
refuse connections, so that no call leaves this machine. Whatever follows the command goes on to
schemathesis: `python -m tests.schema --include-path /v1/orders`.
"""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service import embedded
from service.runtime import introduce, open_runtime
from service.settings import Settings
from service.storage.database import upgrade
from service.web.app import create_app
from tests.web.conftest import KEYS, settings_of
from tests.web.serving import serving
from tests.web.test_api_document import fill

# All checks but these: no 5xx, no status, type, header or body that the document does not have, no
# nonsense taken, no answer without a key.
LEFT_OUT = (
    "positive_data_acceptance",  # names made up fit the document and are nobody's
    "missing_required_header",  # wants 400 without If-Match, where RFC 6585 has 428
)
# Calls made up for each operation at most, in each phase.
EXAMPLES = 40
NOBODY = "https://127.0.0.1:1"  # a port that nobody listens on
# Nobody reads, so that whoever waits for a read or for news waits in vain.
SETTINGS = """
[parameters]
"query.wait" = 0
"""
# So that a run can be repeated as it was.
SEED = 20_261_120


def main(more: list[str]) -> int:
    """Return 0 if nothing differs from the document."""
    with running() as port:
        command = [
            *(str(Path(sys.executable).with_name("schemathesis")), "run"),
            f"http://127.0.0.1:{port}/openapi.json",
            *("--header", f"Authorization: Bearer {KEYS['operator']}"),
            *("--checks", "all", "--exclude-checks", ",".join(LEFT_OUT)),
            *("--max-examples", str(EXAMPLES)),
            *("--seed", str(SEED)),
            *("--continue-on-failure", "--warnings", "off", "--no-color"),
        ]
        # Where it keeps what it learned: not in the tree.
        with tempfile.TemporaryDirectory(prefix="settled-schema-") as folder:
            (Path(folder) / "schemathesis.toml").write_text(SETTINGS, encoding="utf-8")
            return subprocess.run([*command, *more], cwd=folder, check=False).returncode


@contextmanager
def running() -> Iterator[int]:
    """Serve the API over a database with one of everything; lends the port."""
    with (
        tempfile.TemporaryDirectory(prefix="settled-schema-") as folder,
        embedded.running(Path(folder) / "data") as urls,
    ):
        upgrade(urls.postgres)
        settings = settings_of(urls.postgres, provider_at=NOBODY, erp_at=NOBODY, redis=urls.redis)
        asyncio.run(filled(settings))
        app = create_app(lambda: open_runtime(settings, role="web"))
        with serving(app) as port:
            yield port


async def filled(settings: Settings) -> None:
    async with open_runtime(settings, role="worker") as runtime:
        await introduce(runtime)
        await fill(runtime)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
