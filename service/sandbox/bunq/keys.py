"""bunq's signatures, both ways: RSA PKCS#1 v1.5 with SHA-256 over the exact body, in base64.

Source: fact sheet bunq, section 3.
"""

import functools
from base64 import b64decode, b64encode

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

KEY_BITS = 2048


@functools.cache
def server_key() -> rsa.RSAPrivateKey:
    """Return the server's key: one for all installations, because making one takes a while."""
    return rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)


def server_public_pem() -> str:
    public = server_key().public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def sign(body: bytes) -> str:
    """Return the value of X-Bunq-Server-Signature."""
    return b64encode(server_key().sign(body, PKCS1v15(), SHA256())).decode()


def client_key(pem: str) -> rsa.RSAPublicKey:
    """Return a client's public key. Raises ValueError unless it is RSA with 2048 bits."""
    try:
        key = load_pem_public_key(pem.encode())
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size != KEY_BITS:
        raise ValueError("not an RSA key of 2048 bits")
    return key


def is_signed(body: bytes, signature: str, key: rsa.RSAPublicKey) -> bool:
    """Return whether X-Bunq-Client-Signature fits the body; its base64 is taken strictly."""
    try:
        key.verify(b64decode(signature, validate=True), body, PKCS1v15(), SHA256())
    except (ValueError, InvalidSignature):
        return False
    return True
