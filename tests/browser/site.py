"""`settled up` with something to see, and Chromium to see it with."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, sync_playwright

from tests.test_up import Sandbox, Up, run, wait_until

KEY: Final = "key-of-an-operator"
CHROMIUM: Final = "/usr/bin/chromium"

# A browser that calls nobody but us.
ALONE: Final = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

STORIES: Final = {
    "paid": 14, "link_paid": 3, "refund": 2, "part_refund": 1, "expired": 3, "cancelled": 1,
    "open": 4, "authorising": 1, "processing": 2, "late_money": 2, "chargeback": 1,
    "overpaid": 1, "link_paid_twice": 1, "part_paid": 1,
}  # fmt: skip


@contextmanager
def running() -> Iterator[Up]:
    """Run the sandbox and settled, with payers who have acted and an ERP that has refused some."""
    sandbox = run(["sandbox", "--listen", "127.0.0.1:0"], stderr=subprocess.DEVNULL)
    assert sandbox.stdout is not None
    with tempfile.TemporaryDirectory(prefix="settled-browser-") as folder:
        up: Any = None
        try:
            up = Up(Path(folder), Sandbox(sandbox.stdout.readline().split()[1]))
            up.start()
            _play(up)
            yield up
            up.stop()
        finally:
            if up is not None:
                up.close()
            sandbox.terminate()
            sandbox.communicate(timeout=10)


def _play(up: Up) -> None:
    for story, number in STORIES.items():
        up.play(story, number)
    up.settles()
    up.sandbox.post("/sandbox/erp/behaviour", {"answers": [400, 400]})
    up.play("paid", 2)
    wait_until(lambda: bool(up.get("/v1/deliveries", state="dead")["data"]))


@contextmanager
def browsing() -> Iterator[Browser]:
    """Run Chromium without a screen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ALONE)
        try:
            yield browser
        finally:
            browser.close()
