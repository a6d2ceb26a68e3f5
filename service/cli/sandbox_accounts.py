"""What a sandbox opens for a configuration: the accounts and the ERP that it points at it."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from service.errors import Misconfigured
from service.runtime import keys_of
from service.settings import Account, Settings

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROJECT_ID = "405d8375-3514-403b-8c43-83ae74cfe0e9"


def accounts_at(settings: Settings, port: int) -> list[dict[str, object]]:
    """Return the sandbox's settings for each account whose api_base leads to that port here.

    Port 0 stands for any. Raises Misconfigured where the mode is live: nothing there is a game.
    """
    if settings.settled.live:
        raise Misconfigured(
            f'{settings.source}: settled.mode: expected "test" to play in a sandbox, got "live"'
        )
    base = f"http://{settings.settled.listen}"
    return [
        {
            "name": account.name,
            "provider": account.provider,
            "webhook_url": base + _webhook_path(account),
            **_SETTINGS[account.provider](keys_of(account)),
        }
        for account in settings.accounts
        if account.provider in _SETTINGS and _leads_here(account.api_base, port)
    ]


def erp_secrets_at(settings: Settings, port: int) -> list[str]:
    """Return the secrets of the endpoints whose url leads to that port here."""
    return [
        secret.reveal()
        for endpoint in settings.endpoints
        if _leads_here(endpoint.url, port)
        for secret in endpoint.secrets
    ]


def _leads_here(url: str | None, port: int) -> bool:
    parts = urlsplit(url or "")
    return parts.scheme == "http" and parts.hostname in LOOPBACK and port in (0, parts.port)


def _webhook_path(account: Account) -> str:
    token = account.webhook_token
    return f"/webhooks/{account.name}" + (f"/{token.reveal()}" if token else "")


def _ginger(keys: Any) -> dict[str, object]:
    project_id = keys.project_ids[0] if keys.project_ids else PROJECT_ID
    return {"api_key": keys.api_key.reveal(), "project_id": project_id}


def _gocardless(keys: Any) -> dict[str, object]:
    return {
        "access_token": keys.access_token.reveal(),
        "webhook_secret": keys.webhook_secrets[0].reveal(),
    }


def _bunq(keys: Any) -> dict[str, object]:
    return {
        "api_key": keys.api_key.reveal(),
        "user_id": keys.user_id,
        "monetary_account_id": keys.monetary_account_id,
    }


def _ing(keys: Any) -> dict[str, object]:
    if keys.signing_key is None:
        return {"client_id": keys.client_id.reveal()}
    private_key = load_pem_private_key(keys.signing_key.reveal().encode(), None)
    public_key = private_key.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    return {"client_id": keys.client_id.reveal(), "signing_public_key": public_key.decode()}


def _payment_requests_v2(keys: Any) -> dict[str, object]:
    return {
        "api_token": keys.api_token.reveal(),
        "client_account_id": keys.client_account_id,
    }


# The keys that both sides have to know, by provider.
_SETTINGS: Mapping[str, Callable[[Any], dict[str, object]]] = {
    "ginger": _ginger,
    "gocardless": _gocardless,
    "bunq": _bunq,
    "ing_payment_request": _ing,
    "payment_requests_v2": _payment_requests_v2,
}
