"""HTTP signatures of calls to ING, checked. Source: fact sheet ing_payment_request, section 4.3."""

import base64
import binascii
import hashlib
import re
from email.utils import parsedate_to_datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from starlette.requests import Request

_SIGNATURE = re.compile(
    r'keyId="(?P<key_id>[^"]+)",algorithm="rsa-sha256",'
    r'headers="\(request-target\) date digest",signature="(?P<signature>[A-Za-z0-9+/=]+)"'
)


def is_signed(
    request: Request, body: bytes, *, signature: str, client_id: str, key: RSAPublicKey
) -> bool:
    """Return whether Date, Digest and the signature fit the call as it came."""
    found = _SIGNATURE.fullmatch(signature)
    date, digest = request.headers.get("date", ""), request.headers.get("digest", "")
    expected = base64.b64encode(hashlib.sha256(body).digest()).decode()
    if found is None or found["key_id"] != client_id or digest != f"SHA-256={expected}":
        return False
    query = f"?{request.url.query}" if request.url.query else ""
    target = f"{request.method.lower()} {request.url.path}{query}"
    text = f"(request-target): {target}\ndate: {date}\ndigest: {digest}"
    try:
        parsedate_to_datetime(date)
        given = base64.b64decode(found["signature"], validate=True)
        key.verify(given, text.encode(), PKCS1v15(), SHA256())
    except (ValueError, binascii.Error, InvalidSignature):
        return False
    return True
