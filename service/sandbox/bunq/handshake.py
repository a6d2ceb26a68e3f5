"""bunq's handshake: installation, device, session. Source: fact sheet bunq, section 1."""

from datetime import timedelta
from uuid import NAMESPACE_URL, uuid5

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from service.sandbox.bunq.account import COMPANY_NAME, BunqAccount
from service.sandbox.bunq.answers import (
    NOT_FOUND,
    UNAUTHORISED,
    UNSIGNED,
    answer,
    answer_id,
    decoded,
    refused,
)
from service.sandbox.bunq.door import (
    SIGNATURE,
    account_with,
    admitted,
    check_count,
    check_signature,
    desk_of,
    installation_of,
)
from service.sandbox.bunq.keys import client_key, server_public_pem
from service.sandbox.bunq.rates import SESSION_SERVER
from service.sandbox.bunq.words import stamp
from service.sandbox.ledger import Json
from service.sandbox.world import world_of


class AskedInstallation(Struct, forbid_unknown_fields=True):
    """The client's public key as PEM."""

    client_public_key: str


class AskedDevice(Struct, forbid_unknown_fields=True):
    """A device to register; to which addresses a key is tied is not played here."""

    description: str
    secret: str
    permitted_ips: list[str] = []


class AskedSession(Struct, forbid_unknown_fields=True):
    """The API key to open a session with."""

    secret: str


async def install(request: Request) -> Response:
    """Take a client's public key; answer a token and ours. Needs no token, and no signature."""
    desk = desk_of(request)
    refusal = desk.rates.refusal("POST", f"installation from {_address(request)}")
    if refusal is not None:
        raise refused(429, refusal)
    asked = decoded(await request.body(), AskedInstallation)
    try:
        key = client_key(asked.client_public_key)
    except ValueError as error:
        raise refused(400, "client_public_key is no RSA public key of 2048 bits.") from error
    installation = desk.install(key)
    return answer(
        [
            {"Id": {"id": desk.new_id()}},
            {"Token": _token(request, installation.token)},
            {"ServerPublicKey": {"server_public_key": server_public_pem()}},
        ]
    )


async def register_device(request: Request) -> Response:
    """Tie an installation to an API key."""
    installation = installation_of(request)
    asked = decoded(await request.body(), AskedDevice)
    account = _account_with(request, asked.secret)
    account.reads["device"] += 1
    check_count(request, account, "device-server")
    if SIGNATURE in request.headers:
        await check_signature(request, installation)
    installation.device_secret = asked.secret
    return answer_id(desk_of(request).new_id())


async def open_session(request: Request) -> Response:
    """Open a session of the registered device; the body must be signed."""
    installation = installation_of(request)
    asked = decoded(await request.body(), AskedSession)
    account = _account_with(request, asked.secret)
    account.reads["session"] += 1
    check_count(request, account, SESSION_SERVER)
    if SIGNATURE not in request.headers:
        raise refused(466, UNSIGNED)
    await check_signature(request, installation)
    if installation.device_secret != asked.secret:
        raise refused(401, UNAUTHORISED)
    timeout = timedelta(seconds=account.settings.session_timeout)
    session = desk_of(request).open_session(
        installation, asked.secret, timeout, world_of(request).now()
    )
    return answer(
        [
            {"Id": {"id": session.id}},
            {"Token": _token(request, session.token)},
            {account.settings.user_type: _user(request, account)},
        ]
    )


async def close_session(request: Request) -> Response:
    """Log out."""
    _, session = await admitted(request, "session")
    if request.path_params["session_id"] != session.id:
        raise refused(404, NOT_FOUND)
    desk_of(request).close_session(session)
    return answer([])


def _account_with(request: Request, secret: str) -> BunqAccount:
    account = account_with(request, secret)
    if account is None:
        raise refused(400, "User credentials are incorrect.")
    return account


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _token(request: Request, token: str) -> Json:
    now = stamp(world_of(request).now())
    return {"id": desk_of(request).new_id(), "created": now, "updated": now, "token": token}


def _user(request: Request, account: BunqAccount) -> Json:
    now = stamp(world_of(request).now())
    user_id = account.settings.user_id
    return {
        "id": user_id,
        "created": now,
        "updated": now,
        "public_uuid": str(uuid5(NAMESPACE_URL, f"https://bunq.example/user/{user_id}")),
        "name": COMPANY_NAME,
        "display_name": COMPANY_NAME,
        "status": "ACTIVE",
        "sub_status": "NONE",
        "session_timeout": account.settings.session_timeout,
        "region": "nl_NL",
        "language": "en_US",
    }
