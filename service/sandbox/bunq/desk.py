"""bunq's front desk: installations, devices and sessions of all users.

An installation is made before anybody has said whose it is, so these belong to no account.
Source: fact sheet bunq, section 1.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from service.sandbox.bunq.rates import Rates

# A call so shortly before a session's end prolongs it.
PROLONGED_WITHIN = timedelta(minutes=30)


@dataclass(slots=True)
class Installation:
    """A client's key and its token; device_secret is the API key that its device registered."""

    token: str
    client_key: RSAPublicKey
    device_secret: str | None = None


@dataclass(slots=True)
class Session:
    """What a session token stands for; secret is the API key that it was opened with."""

    id: int
    token: str
    secret: str
    installation: Installation
    timeout: timedelta
    ends_at: datetime


class Desk:
    """Hands out tokens and knows them again. rates are those of callers without a token."""

    def __init__(self) -> None:
        self.rates = Rates()
        self._ids = count(1001)
        self._installations: dict[str, Installation] = {}
        self._sessions: dict[str, Session] = {}

    def new_id(self) -> int:
        return next(self._ids)

    def install(self, client_key: RSAPublicKey) -> Installation:
        installation = Installation(secrets.token_hex(32), client_key)
        self._installations[installation.token] = installation
        return installation

    def installation(self, token: str) -> Installation | None:
        return self._installations.get(token)

    def open_session(
        self, installation: Installation, secret: str, timeout: timedelta, now: datetime
    ) -> Session:
        token = secrets.token_hex(32)
        session = Session(self.new_id(), token, secret, installation, timeout, now + timeout)
        self._sessions[token] = session
        return session

    def session(self, token: str, now: datetime) -> Session | None:
        """Return the session of a token unless it has ended; prolong one that ends soon."""
        session = self._sessions.get(token)
        if session is None or session.ends_at <= now:
            return None
        if session.ends_at - now <= PROLONGED_WITHIN:
            session.ends_at = now + session.timeout
        return session

    def close_session(self, session: Session) -> None:
        del self._sessions[session.token]
