"""The receivers in deploy/examples, run as a customer would, against what we really send."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from service.domain.signature import key_of, sign
from service.ed25519 import seal_of
from service.erp import Door, Message, Outcome, post
from service.wire import Wire
from tests.bench.processes import free_port, listens, until
from tests.test_embedded import REPOSITORY
from tests.test_wire import wired

EXAMPLES = REPOSITORY / "deploy" / "examples"
NEW, OLD, FOREIGN = (f"whsec_{letter * 32}" for letter in "ABC")
SEALING = "whsk_" + "A" * 43 + "="
BODY = '{"type":"payment_request.paid","data":{"name":"Zoë"}}'.encode()
NODE = shutil.which("node")

RECEIVERS = [
    pytest.param([sys.executable, str(EXAMPLES / "receiver.py")], id="python"),
    pytest.param(
        [NODE or "node", str(EXAMPLES / "receiver.mjs")],
        id="javascript",
        marks=pytest.mark.skipif(NODE is None, reason="there is no node on this machine"),
    ),
]


@contextmanager
def receiving(command: list[str], log: Path) -> Iterator[str]:
    """Run a receiver that knows the new and the old secret; lends its URL."""
    port = free_port()
    environment = {**os.environ, "WEBHOOK_SECRETS": f"{NEW} {OLD}", "PYTHONUNBUFFERED": "1"}
    with (
        log.open("wb") as output,
        subprocess.Popen([*command, str(port)], env=environment, stdout=output) as process,
    ):
        try:
            until(lambda: listens(port), "the receiver listens")
            yield f"http://127.0.0.1:{port}/hooks"
        finally:
            process.terminate()


async def sent(wire: Wire, url: str, *secrets: str, at: datetime | None = None) -> Outcome:
    door = Door(url, [key_of(secret) for secret in secrets], 5, seal=seal_of(SEALING))
    return await post(wire, Message("ntf_1", BODY), door, at=at or datetime.now(UTC))


def changed_on_its_way(url: str) -> int:
    """Return the answer to a message that was signed with another body."""
    now = int(datetime.now(UTC).timestamp())
    signature = sign([key_of(NEW)], notification_id="ntf_1", timestamp=now, body=BODY)
    headers = {
        "webhook-id": "ntf_1",
        "webhook-timestamp": str(now),
        "webhook-signature": signature,
    }
    return httpx.post(url, headers=headers, content=BODY + b" ").status_code


@pytest.mark.parametrize("command", RECEIVERS)
async def test_a_receiver_takes_what_we_sign_and_nothing_else(
    command: list[str], tmp_path: Path
) -> None:
    log = tmp_path / "output"
    long_ago = datetime.now(UTC) - timedelta(minutes=6)
    with receiving(command, log) as url:
        async with wired() as wire:
            for secrets in ([NEW], [OLD], [FOREIGN, OLD]):
                assert (await sent(wire, url, *secrets)).code == "http_204"
            assert (await sent(wire, url, FOREIGN)).code == "http_401"
            assert (await sent(wire, url, NEW, at=long_ago)).code == "http_401"
        assert changed_on_its_way(url) == 401

    assert log.read_bytes().splitlines() == [BODY] * 3


@pytest.mark.parametrize("name", ["receiver.py", "receiver.mjs"])
def test_a_receiver_has_at_most_thirty_lines_and_needs_nothing_installed(name: str) -> None:
    lines = [line for line in (EXAMPLES / name).read_text().splitlines() if line]
    modules = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}

    assert len(lines) <= 30
    assert name.endswith(".mjs") or modules <= sys.stdlib_module_names | {"http.server"}
