"""Endpoints with doors of their own kind: a seal, CloudEvents, a client certificate."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks import Webhook

from service.domain.signature import verify
from service.ed25519 import check_of, public_key_of
from service.errors import Misconfigured
from service.flow.attempt import DeliverParts
from service.flow.deliver import deliver_due
from service.runtime import endpoint_certificates
from service.settings import Secret, parse
from service.storage.database import Pool
from tests.flow.surroundings import (
    SECRET,
    Arrival,
    Erp,
    answers,
    attempts,
    delivery,
    endpoint,
    let_time_pass,
    listening,
    put,
    sending,
    stored_bodies,
)
from tests.test_wire import self_signed

OLD_SECRET = "whsec_" + "Q" * 40
SEALING = "whsk_" + "Q" * 43 + "="


@pytest.fixture
def pool(emptied: Pool) -> Pool:
    return emptied


async def drain(parts: DeliverParts) -> None:
    await deliver_due(parts, slots=16, bell=asyncio.Event())


async def test_each_secret_of_a_rotation_verifies_and_so_does_the_public_key(pool: Pool) -> None:
    secrets = (Secret(SECRET), Secret(OLD_SECRET))
    async with listening() as erp:
        sealed = endpoint(erp, secrets=secrets, signing_key=Secret(SEALING))
        async with sending(pool, sealed) as parts:
            await put(pool, "prq_1")
            await drain(parts)

    [arrival] = erp.arrivals
    for secret in (SECRET, OLD_SECRET):
        Webhook(secret).verify(arrival.body, arrival.headers)
    assert verify(
        [],
        seals=[check_of(public_key_of(SEALING))],
        headers=list(arrival.headers.items()),
        body=arrival.body,
        now=int(datetime.now(UTC).timestamp()),
    )


async def test_a_cloudevent_has_the_same_signed_bytes_at_every_try(pool: Pool) -> None:
    async with listening() as erp, sending(pool, endpoint(erp, body="cloudevents")) as parts:
        erp.answering = answers(503, 204)
        sent = await put(pool, "prq_1")
        await drain(parts)
        await let_time_pass(pool, "deliveries", "due_at")
        await drain(parts)

    first, second = erp.arrivals
    assert first.body == second.body
    Webhook(SECRET).verify(second.body, second.headers)
    event = from_structured_event(HTTPMessage(second.headers, second.body))
    assert (event.get_id(), second.headers["webhook-id"]) == (sent, sent)
    assert event.get_data() == {"request_id": "prq_1", "account": "ginger-nl", "sequence": 1}


async def test_another_endpoint_gets_the_ordinary_body_and_so_does_the_feed(pool: Pool) -> None:
    async with listening() as erp:
        plain = endpoint(erp, "plain")
        events = endpoint(erp, "events", body="cloudevents", url=erp.url + "/events")
        async with sending(pool, plain, events) as parts:
            await put(pool, "prq_1", to="plain")
            await put(pool, "prq_2", to="events")
            await drain(parts)
    stored = await stored_bodies(pool)

    by_path: dict[str, Arrival] = {arrival.path: arrival for arrival in erp.arrivals}
    assert by_path["/hooks"].body == stored[0]
    assert by_path["/hooks"].headers["content-type"] == "application/json"
    assert by_path["/hooks/events"].headers["content-type"] == "application/cloudevents+json"
    assert json.loads(by_path["/hooks/events"].body)["data"] == json.loads(stored[1])["data"]


@dataclass(frozen=True, slots=True)
class Guarded:
    """An ERP that asks for a certificate, and the files of the one that it lets in."""

    erp: Erp
    certificate: Path
    trust: Path

    def settings(self, **keys: Any) -> dict[str, Any]:
        ordinary = {"name": "erp", "url": self.erp.url, "secrets": [SECRET]}
        return {"endpoint": [{**ordinary, **keys}]}

    def shown(self) -> ssl.SSLContext:
        """What shows the certificate, and trusts this ERP's own too."""
        table = self.settings(
            client_certificate_file=str(self.certificate), client_key_file=str(self.certificate)
        )
        context = endpoint_certificates(parse(table, source="test", environ={}, base=Path()))["erp"]
        context.load_verify_locations(self.trust)
        return context


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    server = self_signed(tmp_path / "server")
    self_signed(tmp_path / "client")
    certificate = tmp_path / "client" / "self_signed.pem"
    server.load_verify_locations(certificate)
    server.verify_mode = ssl.CERT_REQUIRED
    async with listening(server) as erp:
        yield Guarded(erp, certificate, tmp_path / "server" / "self_signed.pem")


async def test_an_erp_that_asks_for_our_certificate_lets_only_that_endpoint_in(
    pool: Pool, guarded: Guarded
) -> None:
    ours, other = endpoint(guarded.erp, "ours"), endpoint(guarded.erp, "other")
    without = ssl.create_default_context(cafile=guarded.trust)
    async with sending(pool, ours, other) as parts:
        parts = replace(parts, tls={"ours": guarded.shown(), "other": without})
        let_in = await put(pool, "prq_1", to="ours")
        await drain(parts)  # Its connection is kept, and must not serve the other one.
        kept_out = await put(pool, "prq_2", to="other")
        await drain(parts)

    assert (await delivery(pool, let_in))["state"] == "delivered"
    assert guarded.erp.ids == [let_in]
    [(_, outcome, _)] = await attempts(pool, kept_out)
    assert outcome in ("tls_failed", "connection_lost")


def test_files_that_are_no_certificate_stop_the_start_by_name(
    tmp_path: Path, guarded: Guarded
) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    (tmp_path / "locked.key").write_bytes(key)
    (tmp_path / "text").write_text("no certificate")
    pairs = [("none", "none"), ("text", "text"), (str(guarded.certificate), "locked.key")]
    for certificate, key_file in pairs:
        files = {"client_certificate_file": certificate, "client_key_file": key_file}
        table = guarded.settings(**files)
        settings = parse(table, source="settled.toml", environ={}, base=tmp_path)

        with pytest.raises(Misconfigured, match=r"endpoint\[0\]\.client_certificate_file: expect"):
            endpoint_certificates(settings)
