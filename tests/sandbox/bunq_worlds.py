"""A bunq user for tests: an account with stories played on it, and a client that shakes hands."""

import base64
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.sandbox.app import create_app
from service.sandbox.bunq.account import BunqAccount, BunqSettings
from service.sandbox.bunq.callbacks import Filter
from service.sandbox.bunq.stories import STORIES
from service.sandbox.ledger import PaymentRequest
from tests.sandbox.worlds import AT_ONCE, NOON, Merchant, quiet, sample

BUNQ_KEY = "sandbox_0123456789abcdef"
USER_ID, ACCOUNT_ID = 1912345, 4419082
USER = f"/v1/user/{USER_ID}"
ACCOUNT = f"{USER}/monetary-account/{ACCOUNT_ID}"
INQUIRIES = f"{ACCOUNT}/request-inquiry"
FILTERS = f"{USER}/notification-filter-url"
HOOK = "https://merchant.example/hooks"
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")
MONEY = re.compile(r"-?\d+\.\d\d")
SETTINGS = {
    "name": "bunq-main",
    "provider": "bunq",
    "api_key": BUNQ_KEY,
    "user_id": USER_ID,
    "monetary_account_id": ACCOUNT_ID,
}


def account(**settings: Any) -> BunqAccount:
    return BunqAccount(msgspec.convert(SETTINGS | settings, BunqSettings))


def played(story: str, *, at: BunqAccount | None = None, amount: int = 12500) -> PaymentRequest:
    """Return a request with every beat of a story played on it, a second apart, and noted."""
    holder = at or account()
    told = STORIES[story]
    request = holder.ask(told, reference="SO-10042", amount=amount, currency="EUR", at=NOON)
    holder.note(request, returns=told.tells_returns)
    for second, beat in enumerate(told.beats(has_money=False), start=1):
        beat.act(request, NOON + timedelta(seconds=second))
        holder.note(request, returns=told.tells_returns)
    return request


def notices(story: str, *categories: str) -> list[Any]:
    """Return the envelopes that a story makes bunq send to one address."""
    holder = account(webhook_url=HOOK)
    if categories:
        holder.register(None, [Filter(each, HOOK) for each in categories], at=NOON)
    played(story, at=holder)
    return [json.loads(call.body)["NotificationUrl"] for call in holder.take_calls()]


class Clock:
    """Tells the world's time; tests move it on."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment


@cache
def client_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def signature(body: bytes, key: rsa.RSAPrivateKey | None = None) -> str:
    signed = (key or client_key()).sign(body, padding.PKCS1v15(), SHA256())
    return base64.b64encode(signed).decode()


class Till:
    """Calls the fake bunq as a shop would, with the token that it has."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.token = ""

    async def call(
        self, method: str, path: str, content: Any = None, **headers: str
    ) -> httpx.Response:
        """Make a call; underscores in names of headers become hyphens."""
        body = b"" if content is None else json.dumps(content).encode()
        sent = {"cache-control": "no-cache", "x-bunq-client-authentication": self.token}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, path, content=body, headers=sent)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.call("GET", path, **headers)

    async def read(self, request_id: str) -> Any:
        answer = await self.get(f"{INQUIRIES}/{request_id}")
        return answer.json()["Response"][0]["RequestInquiry"]

    async def install(self) -> httpx.Response:
        answer = await self.call(
            "POST", "/v1/installation", {"client_public_key": pem(client_key())}
        )
        self.token = answer.json()["Response"][1]["Token"]["token"]
        return answer

    async def register_device(self, secret: str = BUNQ_KEY) -> httpx.Response:
        device = {"description": "till", "secret": secret}
        return await self.call("POST", "/v1/device-server", device)

    async def ask_for_session(self, **headers: str) -> httpx.Response:
        content = {"secret": BUNQ_KEY}
        signed = {"x_bunq_client_signature": signature(json.dumps(content).encode())}
        return await self.call("POST", "/v1/session-server", content, **(signed | headers))

    async def log_in(self) -> httpx.Response:
        """Do the whole handshake; return the session's answer."""
        await self.install()
        await self.register_device()
        answer = await self.ask_for_session()
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["Response"][1]["Token"]["token"]
        return answer


@asynccontextmanager
async def open_till(
    merchant: Callable[[httpx.Request], httpx.Response] | None = None,
    *,
    clock: Callable[[], datetime] | None = None,
    **settings: Any,
) -> AsyncIterator[Till]:
    """Open a sandbox with one bunq account, and a till that is not logged in yet."""
    more = {} if clock is None else {"now": clock}
    app = create_app(transport=httpx.MockTransport(merchant or Merchant()), **more)
    wire = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=wire, base_url="http://sandbox") as http:
        ordinary = {"pace": AT_ONCE, "time_scale": 0.000001, "webhook_url": HOOK}
        answer = await http.post("/sandbox/accounts", json=SETTINGS | ordinary | settings)
        assert answer.status_code == 201, answer.text
        yield Till(http)


async def play(till: Till, story: str, **body: Any) -> str:
    """Play a story to its end, callbacks included; return the request's id."""
    answer = await till.http.post(f"/sandbox/accounts/bunq-main/stories/{story}", json=body)
    assert answer.status_code == 201, answer.text
    await quiet(till.http)
    return str(answer.json()["provider_id"])


async def set_faults(till: Till, **faults: Any) -> None:
    answer = await till.http.post("/sandbox/accounts/bunq-main/faults", json=faults)
    assert answer.status_code == 200, answer.text


class Hooks(Merchant):
    """Keeps where each callback went, and its headers."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(*statuses)
        self.calls: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request)
        return super().__call__(request)

    @property
    def events(self) -> list[tuple[str, str]]:
        return [
            (str(call.url), body["NotificationUrl"]["event_type"])
            for call, body in zip(self.calls, self.bodies, strict=True)
        ]


def is_the_error(answer: httpx.Response, name: str) -> bool:
    expected = sample("bunq/errors")[name]
    return (answer.status_code, answer.json()) == (expected["status"], expected["body"])


def shape(value: Any) -> Any:
    """Return a value with each leaf replaced by its type; times and amounts are told apart."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    for name, form in (("time", TIME), ("money", MONEY)):
        if isinstance(value, str) and form.fullmatch(value):
            return name
    return type(value).__name__
