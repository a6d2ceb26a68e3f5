"""Signatures of bodies: RSA PKCS#1 v1.5 with SHA-256, in strict base64.

Source: fact sheet bunq, section 3. The older scheme over status, headers and body is not taken.
"""

import base64
import binascii
from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

PublicKey = RSAPublicKey

CLIENT_HEADER: Final = "X-Bunq-Client-Signature"
SERVER_HEADER: Final = "X-Bunq-Server-Signature"
KEY_BITS: Final = 2048


def new_private_key() -> RSAPrivateKey:
    """Make a key; takes a tenth of a second or so."""
    return generate_private_key(public_exponent=65537, key_size=KEY_BITS)


def private_pem(key: RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: RSAPrivateKey) -> str:
    public = key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_key_of(pem: bytes) -> PublicKey:
    """Return the RSA key in pem. Raises ValueError for any other, or one that is too short."""
    try:
        key = load_pem_public_key(pem)
    except UnsupportedAlgorithm as error:
        raise ValueError("an unknown kind of key") from error
    if not isinstance(key, RSAPublicKey) or key.key_size < KEY_BITS:
        raise ValueError(f"not an RSA key of {KEY_BITS} bits or more")
    return key


def sign(body: bytes, pem: str) -> str:
    """Return the signature header's value for a body, made with the private key in pem."""
    key = load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, RSAPrivateKey), "made by new_private_key"
    return base64.b64encode(key.sign(body, PKCS1v15(), SHA256())).decode()


def is_signed(body: bytes, signature: str | None, keys: Iterable[PublicKey]) -> bool:
    """Return whether signature, a header's value, is of exactly these bytes by one of keys.

    No header is no signature. Base64 has one spelling here, without a foreign character: lenient
    decoders, the official library's among them, take more.
    """
    try:
        raw = base64.b64decode(signature or "", validate=True)
    except (binascii.Error, ValueError):
        return False
    if base64.b64encode(raw).decode() != signature:
        return False
    return any(_is_by(key, raw, body) for key in keys)


def _is_by(key: PublicKey, raw: bytes, body: bytes) -> bool:
    try:
        key.verify(raw, body, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True
