"""A session: a cookie that names an API key, signed with that key, and the tokens of its forms.

A session ends after 12 h, and at once when its key leaves the configuration or changes: then
nothing that could have signed it is there any more. Only that somebody signed out is kept.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from service.settings import ApiKey

LASTS: Final = timedelta(hours=12)

_COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{1,1000}\.[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Session:
    """Who has signed in, until when; token goes into every form of this session and of no other.

    id is kept for a session that somebody signed out of: nobody makes a cookie out of it.
    """

    key: ApiKey
    token: str
    id: bytes
    ends_at: datetime


def new_cookie(key: ApiKey, *, now: datetime) -> str:
    """Return the value of the cookie with which a session begins."""
    told = {"key": key.name, "ends": int((now + LASTS).timestamp()), "is": secrets.token_hex(16)}
    text = base64.urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip("=")
    return f"{text}.{_signature(key, 'session', text)}"


def session_of(cookie: str | None, keys: Iterable[ApiKey], *, now: datetime) -> Session | None:
    """Return the session that a cookie proves, None for one that is missing, forged or over."""
    if cookie is None or not _COOKIE.fullmatch(cookie):
        return None
    text, _, signature = cookie.partition(".")
    told = _told(text)
    key = next((key for key in keys if key.name == told.get("key")), None)
    if key is None or not hmac.compare_digest(signature, _signature(key, "session", text)):
        return None
    ends = told["ends"]
    assert isinstance(ends, int), "we signed it"
    if ends <= now.timestamp():
        return None
    return Session(
        key,
        _signature(key, "form", text),
        hashlib.sha256(text.encode()).digest(),
        datetime.fromtimestamp(ends, UTC),
    )


def is_token_of(session: Session, presented: str) -> bool:
    """Return whether a form that holds presented was made for this session."""
    return hmac.compare_digest(session.token.encode(), presented.encode("utf-8", "surrogatepass"))


def _told(text: str) -> dict[str, object]:
    """Return what a cookie says, which nobody has checked yet; {} for what is none of ours."""
    try:
        told = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _signature(key: ApiKey, what: str, text: str) -> str:
    message = f"settled console {what}\n{text}".encode()
    return hmac.new(key.key.reveal().encode(), message, hashlib.sha256).hexdigest()
