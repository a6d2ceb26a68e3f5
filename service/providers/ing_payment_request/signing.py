"""ING's HTTP signatures: what is signed and how it is written down. Source: section 4.3."""

import base64
import hashlib
from collections.abc import Callable
from datetime import datetime
from email.utils import format_datetime

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key


class Signer:
    """Signs requests as one client; now returns the time in UTC."""

    def __init__(self, client_id: str, pem: str, now: Callable[[], datetime]) -> None:
        self._client_id = client_id
        self._key = private_key_of(pem)
        self._now = now

    def headers_for(self, request: httpx.Request) -> dict[str, str]:
        """Return Date, Digest and Signature for a request, over the very bytes of its body."""
        date = format_datetime(self._now(), usegmt=True)
        digest = f"SHA-256={_base64(hashlib.sha256(request.content).digest())}"
        text = signing_text(request, date=date, digest=digest)
        signature = _base64(self._key.sign(text.encode(), PKCS1v15(), SHA256()))
        return {
            "Date": date,
            "Digest": digest,
            "Signature": (
                f'keyId="{self._client_id}",algorithm="rsa-sha256",'
                f'headers="(request-target) date digest",signature="{signature}"'
            ),
        }


def signing_text(request: httpx.Request, *, date: str, digest: str) -> str:
    """Return the text that is signed: the method in lower case, lines joined by LF."""
    target = f"{request.method.lower()} {request.url.raw_path.decode('ascii')}"
    return f"(request-target): {target}\ndate: {date}\ndigest: {digest}"


def private_key_of(pem: str) -> RSAPrivateKey:
    """Return the RSA key in pem, which has no passphrase. Raises ValueError."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("a key with a passphrase, or of an unknown kind") from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA key")
    return key


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
