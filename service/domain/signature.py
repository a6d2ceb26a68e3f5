"""Standard Webhooks 1.0.0: how a notification is signed, and the strict way to check one.

The signed content is `id.timestamp.body` with the raw body. An item of the signature header is
`v1,` and the base64 of its HMAC-SHA256, or `v1a,` and that of its ed25519 signature, which comes
from elsewhere: the standard library has none. Source: RELIABILITY.md, section 4; the
specification at github.com/standard-webhooks/standard-webhooks.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from typing import Final

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 -- the public prefix of every secret, not a secret
KEY_BYTES_MIN: Final = 24
KEY_BYTES_MAX: Final = 64
TOLERANCE_SECONDS: Final = 300
SIGNATURES_MAX: Final = 5

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

# Returns the ed25519 signature of a content.
Seal = Callable[[bytes], bytes]
# Returns whether a signature is that of a content; raises nothing.
CheckSeal = Callable[[bytes, bytes], bool]

# Neither may hold a full stop: it would move bytes between id, timestamp and body unnoticed.
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


def key_of(secret: str) -> bytes:
    """Return the key behind a `whsec_` secret: the decoded bytes, never the text.

    Raises ValueError, without the secret in its message, for anything but the prefix and strict
    base64 of 24 to 64 bytes.
    """
    if not secret.startswith(SECRET_PREFIX):
        raise ValueError(f"a secret begins with {SECRET_PREFIX}")
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise ValueError(f"a secret holds {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes")
    return key


def sign(
    keys: Sequence[bytes],
    *,
    notification_id: str,
    timestamp: int,
    body: bytes,
    seal: Seal | None = None,
) -> str:
    """Return the value of the signature header: one item per key, in the order of keys.

    timestamp is the time of this attempt in seconds since 1970; seal adds a `v1a` item behind
    the others. Raises ValueError for an id that strict receivers refuse, or without a key.
    """
    if not keys or not _ID.fullmatch(notification_id):
        raise ValueError("a signature needs a key and an id of letters, digits, _ and -")
    content = _content(notification_id, str(timestamp), body)
    items = [f"v1,{_signature(key, content)}" for key in keys]
    if seal is not None:
        items.append(f"v1a,{_base64(seal(content))}")
    return " ".join(items)


def content_digest(body: bytes) -> str:
    """Return the value of the header content-digest (RFC 9530) for a body sent as it is."""
    return f"sha-256=:{_base64(hashlib.sha256(body).digest())}:"


def verify(
    keys: Sequence[bytes],
    *,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    now: int,
    tolerance_seconds: int = TOLERANCE_SECONDS,
    seals: Sequence[CheckSeal] = (),
) -> bool:
    """Return whether one of keys or seals signed this message, at most tolerance_seconds from now.

    headers are (name, value) pairs as received, names in any case; each of the three must be
    there exactly once. Raises nothing, whatever it is given. Every key meets every item, so the
    time taken tells nothing. Source: RELIABILITY.md, section 4.3.
    """
    notification_id = _only(headers, ID_HEADER)
    timestamp = _only(headers, TIMESTAMP_HEADER)
    signatures = [item for item in _only(headers, SIGNATURE_HEADER).split(" ") if item]
    if not _ID.fullmatch(notification_id) or not _TIMESTAMP.fullmatch(timestamp):
        return False
    if abs(now - int(timestamp)) > tolerance_seconds or len(signatures) > SIGNATURES_MAX:
        return False
    content = _content(notification_id, timestamp, body)
    expected = [f"v1,{_signature(key, content)}".encode() for key in keys]
    given = [item.encode() for item in signatures if item.isascii()]
    matches = [hmac.compare_digest(one, other) for one in given for other in expected]
    sealed = [_sealed(item) for item in signatures if item.startswith("v1a,")]
    matches += [check(seal, content) for seal in sealed for check in seals]
    return any(matches)


def _only(headers: Sequence[tuple[str, str]], name: str) -> str:
    """Return the value of a header that is there exactly once, else an empty text."""
    values = [value for other, value in headers if other.lower() == name]
    return values[0] if len(values) == 1 else ""


def _content(notification_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{notification_id}.{timestamp}.".encode() + body


def _signature(key: bytes, content: bytes) -> str:
    """Return the item in base64: comparing that text is comparing the bytes, strictly decoded."""
    return _base64(hmac.digest(key, content, hashlib.sha256))


def _sealed(item: str) -> bytes:
    """Return the signature in a `v1a` item, nothing where it is not spelled as we would."""
    text = item.removeprefix("v1a,")
    try:
        seal = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return seal if _base64(seal) == text else b""


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
