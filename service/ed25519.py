"""Keys of the `v1a` signature: ed25519, written the way Standard Webhooks writes them.

A private key is `whsk_` and the base64 of its 32-byte seed, alone or with the public key behind
it; a public one is `whpk_` and the base64 of its 32 bytes. Whoever holds only the public key can
check a notification and cannot make one. Source: the specification, section "Asymmetric";
tests/vectors/standard_webhooks.json, which says what of it is a convention.
"""

import base64
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from service.domain.signature import CheckSeal, Seal

PRIVATE_PREFIX: Final = "whsk_"
PUBLIC_PREFIX: Final = "whpk_"
KEY_BYTES: Final = 32


def seal_of(private_key: str) -> Seal:
    """Return what signs with a `whsk_` key.

    Raises ValueError, without the key in its message, for any other text and for a public key
    that does not belong to its seed.
    """
    return _private(private_key).sign


def public_key_of(private_key: str) -> str:
    """Return the `whpk_` key that belongs to a `whsk_` key. Raises ValueError as seal_of does."""
    public = _private(private_key).public_key().public_bytes_raw()
    return PUBLIC_PREFIX + base64.b64encode(public).decode()


def check_of(public_key: str) -> CheckSeal:
    """Return what checks signatures with a `whpk_` key. Raises ValueError for any other text."""
    key = Ed25519PublicKey.from_public_bytes(_decoded(public_key, PUBLIC_PREFIX, KEY_BYTES))

    def is_sealed(seal: bytes, content: bytes) -> bool:
        try:
            key.verify(seal, content)
        except InvalidSignature:
            return False
        return True

    return is_sealed


def _private(text: str) -> Ed25519PrivateKey:
    raw = _decoded(text, PRIVATE_PREFIX, KEY_BYTES, 2 * KEY_BYTES)
    key = Ed25519PrivateKey.from_private_bytes(raw[:KEY_BYTES])
    if raw[KEY_BYTES:] not in (b"", key.public_key().public_bytes_raw()):
        raise ValueError("the public key in it belongs to another private key")
    return key


def _decoded(text: str, prefix: str, *lengths: int) -> bytes:
    if not text.startswith(prefix):
        raise ValueError(f"a key begins with {prefix}")
    raw = base64.b64decode(text.removeprefix(prefix), validate=True)
    if len(raw) not in lengths:
        raise ValueError(f"a key holds {' or '.join(map(str, lengths))} bytes")
    return raw
