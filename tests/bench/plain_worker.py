"""The worker of the plain way: `python -m tests.bench.plain_worker DATABASE REDIS STUB`.

Celery prefork with two children, each with one kept connection and one kept HTTP client. A task
reads the order, updates its row, commits, and posts a signed notification.
"""

import json
import secrets
import sys
import time
import warnings
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
from celery.platforms import SecurityWarning
from celery.signals import worker_process_init

from service.domain.signature import key_of, sign
from tests.bench.plain import ERP_SECRET, TASK, celery_of

CHILDREN = 2


@dataclass
class Parts:
    """What one child keeps open."""

    connection: psycopg.Connection[Any]
    client: httpx.Client
    stub_url: str
    key: bytes

    def reconcile(self, event_id: str, order_id: str) -> None:
        answer = self.client.get(f"{self.stub_url}/v1/orders/{order_id}/")
        order = answer.raise_for_status().json()
        self.connection.execute(
            "update inbox set status = %s, received = %s where id = %s",
            [order["status"], order["transactions"][0]["amount"], event_id],
        )
        self.connection.commit()
        self._notify(order)

    def _notify(self, order: dict[str, Any]) -> None:
        identifier = f"ntf_{secrets.token_hex(16)}"
        data = {
            "reference": order["merchant_order_id"],
            "status": "paid",
            "amount": {"currency": order["currency"], "minor": order["amount"]},
            "provider": {"name": "ginger", "id": order["id"], "status": order["status"]},
        }
        message = {"type": "payment_request.paid", "id": identifier, "data": data}
        body = json.dumps(message).encode()
        now = int(time.time())
        headers = {
            "content-type": "application/json",
            "webhook-id": identifier,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(
                [self.key], notification_id=identifier, timestamp=now, body=body
            ),
        }
        self.client.post(f"{self.stub_url}/erp", content=body, headers=headers).raise_for_status()


def main(database_url: str, redis_url: str, stub_url: str) -> None:
    app = celery_of(redis_url)
    kept: list[Parts] = []

    def open_parts(**_: object) -> None:
        client = httpx.Client(auth=("0123456789abcdef", ""), timeout=10.0, trust_env=False)
        connection = psycopg.connect(database_url, prepare_threshold=0)
        kept.append(Parts(connection, client, stub_url, key_of(ERP_SECRET)))

    def reconcile(event_id: str, order_id: str) -> None:
        kept[0].reconcile(event_id, order_id)

    worker_process_init.connect(open_parts, weak=False)
    app.task(name=TASK)(reconcile)
    warnings.simplefilter("ignore", SecurityWarning)
    app.worker_main(
        [
            "--quiet",
            *("worker", "--pool=prefork", f"--concurrency={CHILDREN}", "--loglevel=WARNING"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ]
    )


if __name__ == "__main__":
    main(*sys.argv[1:4])
