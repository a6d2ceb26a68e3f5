"""ING for tests: a sandbox with one client, its clock, and calls that are let in."""

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.sandbox.app import create_app
from tests.sandbox import worlds
from tests.sandbox.worlds import AT_ONCE, quiet

CLIENT_ID = "dc46e4b8-70aa-4da4-b74a-a2576680f004"
KEY = generate_private_key(65537, 2048)
PUBLIC_KEY = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


class Clock:
    """A time that a test moves on."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def sample(name: str) -> Any:
    return worlds.sample(f"ing_payment_request/{name}")


def sample_text(name: str) -> bytes:
    """Return a sample as it stands: json would write its amounts with one decimal place."""
    return (worlds.SAMPLES / "ing_payment_request" / f"{name}.json").read_bytes()


@asynccontextmanager
async def open_bank(clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    """Open a sandbox with one client of ING, and a connection to it that is not logged in."""
    app = create_app(now=clock)
    wire = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=wire, base_url="http://sandbox") as client,
    ):
        await open_account(client)
        yield client


async def open_account(client: httpx.AsyncClient, **settings: Any) -> None:
    ordinary = {
        "name": "ing",
        "provider": "ing_payment_request",
        "client_id": CLIENT_ID,
        "pace": AT_ONCE,
    }
    answer = await client.post("/sandbox/accounts", json=ordinary | settings)
    assert answer.status_code in (200, 201), answer.text


async def log_in(client: httpx.AsyncClient, **form: str) -> None:
    asked = {"grant_type": "client_credentials", "client_id": CLIENT_ID} | form
    answer = await client.post("/oauth2/token", data=asked)
    assert answer.status_code == 200, answer.text
    client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"


async def log_in_signed(client: httpx.AsyncClient) -> None:
    """Open the account with a signing key, and log in with it."""
    await open_account(client, signing_public_key=PUBLIC_KEY)
    body = b"grant_type=client_credentials"
    headers = signed("post", "/oauth2/token", body)
    headers["authorization"] = f"Signature {headers['signature']}"
    headers["content-type"] = "application/x-www-form-urlencoded"
    answer = await client.post("/oauth2/token", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"


async def play(client: httpx.AsyncClient, clock: Clock, story: str, **body: Any) -> str:
    """Play a story to its end and beyond the life of its request; return the request's id."""
    asked = {"amount": 7000, "reference": "INV-1", **body}
    answer = await client.post(f"/sandbox/accounts/ing/stories/{story}", json=asked)
    assert answer.status_code == 201, answer.text
    await quiet(client)
    clock.now += timedelta(seconds=5)
    return str(answer.json()["provider_id"])


def signed(method: str, target: str, body: bytes = b"", **changed: str) -> dict[str, str]:
    """Return the headers that sign a call, with some of them changed afterwards."""
    digest = f"SHA-256={base64.b64encode(hashlib.sha256(body).digest()).decode()}"
    date = format_datetime(datetime.now(UTC), usegmt=True)
    text = f"(request-target): {method} {target}\ndate: {date}\ndigest: {digest}"
    signature = base64.b64encode(KEY.sign(text.encode(), PKCS1v15(), SHA256())).decode()
    parts = (
        f'keyId="{CLIENT_ID}",algorithm="rsa-sha256",headers="(request-target) date digest",'
        f'signature="{signature}"'
    )
    return {"date": date, "digest": digest, "signature": parts, "x-ing-reqid": "1", **changed}


def shape(value: Any) -> Any:
    """Return a value's structure: names and types, numbers being numbers."""
    match value:
        case dict():
            return {name: shape(inner) for name, inner in value.items()}
        case list():
            return [shape(inner) for inner in value[:1]]
        case bool():
            return bool
        case int() | float():
            return float
        case _:
            return type(value)
