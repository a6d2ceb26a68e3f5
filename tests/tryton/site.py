"""`settled up` between the sandbox and Tryton."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from service import embedded
from tests.test_up import Sandbox, Up, run
from tests.tryton.books import PASSWORD, Books
from tests.tryton.seed import DATABASE, USER

DEBITS = "debits"


class Site(Up):
    """Two endpoints for one Tryton: one books what is paid, the other what is settled."""

    def __init__(self, folder: Path, sandbox: Sandbox, books: Books) -> None:
        self._books = books
        super().__init__(folder, sandbox)
        self.sandbox.post(
            "/sandbox/accounts",
            {
                "name": DEBITS,
                "provider": "gocardless",
                "access_token": "token",
                "webhook_secret": "secret",
                "webhook_url": f"{self.url}/webhooks/{DEBITS}",
            },
        )
        for account in (self.account, DEBITS):
            self.sandbox.post(f"/sandbox/accounts/{account}/faults", {"duplicate": 1})

    def begin(self, account: str, reference: str, story: str) -> str:
        """Have a payer act on a new request; return the provider's id of it."""
        plan = {"reference": reference, "story": story, "amount": 4000}
        [made] = self.sandbox.post(f"/sandbox/accounts/{account}/requests", plan)
        return str(made["provider_id"])

    def go_on(self, account: str, provider_id: str, story: str) -> None:
        """Have the same request live on."""
        path = f"/sandbox/accounts/{account}/stories/{story}"
        self.sandbox.post(path, {"provider_id": provider_id})

    def webhooks(self) -> int:
        """Return how many webhooks of providers came in."""
        return len(self.get("/v1/events", limit="500")["data"])

    def outcomes(self, endpoint: str, reference: str) -> list[tuple[str, list[str]]]:
        """Return what an endpoint was told about an order: the type, and what each try came to."""
        query = {"endpoint": endpoint, "reference": reference, "limit": "100"}
        deliveries = self.get("/v1/deliveries", **query)["data"]
        return [
            (each["type"], [attempt["outcome"] for attempt in each["attempts"]])
            for each in reversed(deliveries)
        ]

    def send_all_again(self, endpoint: str) -> int:
        """Make every delivery of an endpoint due again, as a resend does; return how many."""
        url = embedded.urls(self.data_dir)["postgres"]
        with psycopg.connect(url) as connection:
            again = connection.execute(
                "update deliveries set state = 'waiting', closed_at = null, due_at = now()"
                " where endpoint = %s",
                [endpoint],
            )
            return again.rowcount

    def is_idle(self) -> bool:
        """Whether nothing waits to be delivered."""
        return not self.get("/v1/deliveries", state="waiting")["data"]

    def _configuration(self, **tables: object) -> str:
        """Return the ordinary one, but nobody looks by himself: only webhooks bring news."""
        sandbox = str(self.sandbox.client.base_url).rstrip("/")
        ordinary = super()._configuration(**tables).replace('"2s"', '"1h"').replace('"5s"', '"1h"')
        debits = f"""
            [[account]]
            name = "{DEBITS}"
            provider = "gocardless"
            api_base = "{sandbox}"
            access_token = "token"
            webhook_secrets = ["secret"]
            """
        booking = self._endpoint("paid", self.account) + self._endpoint("settled", DEBITS)
        return ordinary + debits + booking

    def _endpoint(self, book_at: str, account: str) -> str:
        return f"""
            [[endpoint]]
            name = "tryton-{book_at}"
            kind = "recipe"
            recipe = "tryton-8"
            url = "{self._books.url}"
            book_at = "{book_at}"
            parameters = {{ database = "{DATABASE}" }}
            user = "{USER}"
            password = "{PASSWORD}"
            accounts = ["{account}"]
            types = ["order.*"]
            allow_private = true
            """


@contextmanager
def running(books: Books) -> Iterator[Site]:
    """Run the sandbox, and settled between it and the books."""
    sandbox = run(["sandbox", "--listen", "127.0.0.1:0"], stderr=subprocess.DEVNULL)
    assert sandbox.stdout is not None
    with tempfile.TemporaryDirectory(prefix="settled-tryton-") as folder:
        site: Any = None
        try:
            site = Site(Path(folder), Sandbox(sandbox.stdout.readline().split()[1]), books)
            site.start()
            yield site
            site.stop()
        finally:
            if site is not None:
                site.close()
            sandbox.terminate()
            sandbox.communicate(timeout=10)
