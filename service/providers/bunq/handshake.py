"""How a session is opened: installation, device, session.

One step at a time: what a step brought is stored before the next one, because bunq allows few
installations a day and one session in 30 seconds. Source: fact sheet bunq, sections 1 and 9.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import httpx
import msgspec

from service.errors import Unauthorised, Unreadable
from service.providers import Exchange, Session
from service.providers.bunq.keys import BunqKeys
from service.providers.bunq.shapes import Body, Identified, ServerKey, Token, User, body_of
from service.providers.bunq.signature import (
    CLIENT_HEADER,
    new_private_key,
    private_pem,
    public_key_of,
    public_pem,
    sign,
)

# One of them comes with a session, named by what kind of user the API key is of.
USERS: Final = ("UserPerson", "UserCompany", "UserApiKey", "UserPaymentServiceProvider")
TOKEN_HEADER: Final = "X-Bunq-Client-Authentication"  # noqa: S105 - the name of a header

# A user may ask for sessions of any length; longer ones we renew all the same.
SESSION_SECONDS_MAX: Final = 30 * 86_400

# The names of what is kept between the steps, and for authorise.
MADE_FOR: Final = "made_for"
PRIVATE_KEY: Final = "private_key"
SERVER_KEY: Final = "server_public_key"
INSTALLATION: Final = "installation_token"
DEVICE: Final = "device_id"
SESSION: Final = "session_token"

# Checks an answer's signature with the installation's public key too, and reads its body.
Read = Callable[[httpx.Response, str], Body]


class Handshake:
    """Makes the next step from what the ones before have brought."""

    def __init__(self, keys: BunqKeys, headers: Callable[[], dict[str, str]], read: Read) -> None:
        self._keys = keys
        self._headers = headers
        self._read = read

    def next_step(self, kept: Mapping[str, str]) -> Exchange[Session]:
        """Make one step. What was made for another API key or address is not gone on with."""
        if kept.get(MADE_FOR) != self._keys.fingerprint:
            return self._install()
        if DEVICE not in kept:
            return self._register(kept)
        return self._log_in(kept)

    def _install(self) -> Exchange[Session]:
        """Give our new public key and get the installation's; nothing vouches for that answer."""
        private_key = new_private_key()
        body = {"client_public_key": public_pem(private_key)}
        answer = body_of((yield self._post("installation", body)))
        server_key = answer.only("ServerPublicKey", ServerKey).server_public_key
        _check_key(server_key)
        kept = {
            MADE_FOR: self._keys.fingerprint,
            PRIVATE_KEY: private_pem(private_key),
            SERVER_KEY: server_key,
            INSTALLATION: answer.only("Token", Token).token,
        }
        return Session(kept, 0.0, counts=False)

    def _register(self, kept: Mapping[str, str]) -> Exchange[Session]:
        body = {"description": self._keys.device_description, **self._secret}
        if self._keys.permitted_ips:
            body["permitted_ips"] = self._keys.permitted_ips
        answer = self._read((yield self._post("device-server", body, kept)), kept[SERVER_KEY])
        device_id = answer.only("Id", Identified).id
        return Session({**kept, DEVICE: str(device_id)}, 0.0, counts=False)

    def _log_in(self, kept: Mapping[str, str]) -> Exchange[Session]:
        """Open a session. An installation that served before and is refused now is given up.

        One that never gave a session is kept instead: another would be refused as well.
        """
        try:
            response = yield self._post("session-server", self._secret, kept)
        except Unauthorised:
            if SESSION not in kept:
                raise
            return Session({}, 0.0)
        answer = self._read(response, kept[SERVER_KEY])
        users = [user for name in USERS for user in answer.of(name, User)]
        if len(users) != 1:
            raise Unreadable(f"{len(users)} users of a session")
        token = answer.only("Token", Token).token
        seconds = float(min(users[0].session_timeout, SESSION_SECONDS_MAX))
        return Session({**kept, SESSION: token}, seconds)

    @property
    def _secret(self) -> dict[str, str | Sequence[str]]:
        return {"secret": self._keys.api_key.reveal()}

    def _post(
        self, path: str, body: Mapping[str, object], kept: Mapping[str, str] | None = None
    ) -> httpx.Request:
        content = msgspec.json.encode(body)
        headers = self._headers()
        if kept is not None:
            headers[TOKEN_HEADER] = kept[INSTALLATION]
            headers[CLIENT_HEADER] = sign(content, kept[PRIVATE_KEY])
        return httpx.Request("POST", f"{self._keys.url}/{path}", headers=headers, content=content)


def _check_key(pem: str) -> None:
    try:
        public_key_of(pem.encode())
    except ValueError as error:
        raise Unreadable("not a public key") from error
