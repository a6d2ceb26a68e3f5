"""The accounts of a demo, on both sides: at the fake providers and in the product's settings."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from service.cli.configuration import write_owner_only

PROJECT_ID = "405d8375-3514-403b-8c43-83ae74cfe0e9"

# As wide as this machine: a demo is not to wait for its own call budget.
LIMIT = "2000/s"
CALL_LIMIT_FACTOR = 10_000

# GoCardless goes on sending for most of a day, which shrinks to a quarter of a minute.
GOCARDLESS_TIME_SCALE = 1 / 3600


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """One account: the keys of its table in settled.toml, and of its settings in the sandbox."""

    name: str
    provider: str
    table: Mapping[str, object]
    settings: Mapping[str, object]
    webhook_token: str | None = None
    calls: bool = True

    @property
    def webhook_path(self) -> str | None:
        """Where the provider is to call, None for one that never does."""
        if not self.calls:
            return None
        return "/".join(filter(None, ("/webhooks", self.name, self.webhook_token)))

    def as_toml(self) -> str:
        """Return the account's table."""
        rows = {
            "name": self.name,
            "provider": self.provider,
            "limit": LIMIT,
            **({"webhook_token": self.webhook_token} if self.webhook_token else {}),
            **self.table,
        }
        # What stands here is text, whole numbers and lists of them: JSON writes them as TOML does.
        return "\n".join(["[[account]]", *(f"{key} = {json.dumps(rows[key])}" for key in rows)])


def make_accounts(folder: Path, sandbox_url: str) -> list[DemoAccount]:
    """Return one account at each provider; key files are written into folder."""
    makers: tuple[Callable[[Path, str], DemoAccount], ...] = (
        _ginger,
        _gocardless,
        _bunq,
        _ing,
        _payment_requests_v2,
    )
    return [make(folder, sandbox_url) for make in makers]


def _ginger(_folder: Path, sandbox_url: str) -> DemoAccount:
    key = secrets.token_hex(16)
    return DemoAccount(
        "ginger-demo",
        "ginger",
        table={"api_base": sandbox_url, "api_key": key, "project_ids": [PROJECT_ID]},
        settings={"api_key": key, "project_id": PROJECT_ID},
        webhook_token=secrets.token_urlsafe(24),
    )


def _gocardless(_folder: Path, sandbox_url: str) -> DemoAccount:
    token, secret = f"sandbox_{secrets.token_urlsafe(24)}", secrets.token_urlsafe(24)
    return DemoAccount(
        "gocardless-demo",
        "gocardless",
        table={"api_base": sandbox_url, "access_token": token, "webhook_secrets": [secret]},
        settings={
            "access_token": token,
            "webhook_secret": secret,
            "time_scale": GOCARDLESS_TIME_SCALE,
        },
    )


def _bunq(_folder: Path, sandbox_url: str) -> DemoAccount:
    login = {
        "api_key": f"sandbox_{secrets.token_hex(24)}",
        "user_id": 42,
        "monetary_account_id": 12345,
    }
    return DemoAccount(
        "bunq-demo",
        "bunq",
        table={"api_base": f"{sandbox_url}/v1", **login},
        settings=login,
        webhook_token=secrets.token_urlsafe(24),
    )


def _ing(folder: Path, sandbox_url: str) -> DemoAccount:
    client_id, key = secrets.token_hex(16), generate_private_key(65537, 2048)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    file = folder / "ing-sign.key"
    write_owner_only(file, text, replace=False)
    public_key = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return DemoAccount(
        "ing-demo",
        "ing_payment_request",
        table={"api_base": sandbox_url, "client_id": client_id, "signing_key_file": str(file)},
        settings={"client_id": client_id, "signing_public_key": public_key.decode()},
        calls=False,
    )


def _payment_requests_v2(folder: Path, sandbox_url: str) -> DemoAccount:
    token = secrets.token_urlsafe(24)
    write_owner_only(folder / "partner.token", token, replace=False)
    return DemoAccount(
        "partner-demo",
        "payment_requests_v2",
        table={
            "api_base": f"{sandbox_url}/api/v2",
            "api_token_file": str(folder / "partner.token"),
            "client_account_id": 123,
        },
        settings={"api_token": token, "client_account_id": 123},
        calls=False,
    )
