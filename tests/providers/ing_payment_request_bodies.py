"""An ING account and what ING answers, ordinary by default."""

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from service.domain.request import Facts, Kind, Observation
from service.domain.status import Status
from service.providers import AccountContext, Session
from service.providers.ing_payment_request import IngKeys, IngPaymentRequest
from service.settings import Secret
from tests.providers.exchange import at_paths, run
from tests.providers.world import recording

REQUEST = "xrgq1coyp1pnnfigiaaa6pqn1o9lc0gh"
CLIENT = "dc46e4b8-70aa-4da4-b74a-a2576680f004"
HERE = f"/payment-requests/{REQUEST}"
NOW = datetime(2024, 5, 14, 9, 12, 3, tzinfo=UTC)
REQUEST_ID = UUID("6f1bd3a6-3c41-4f28-9d0e-6a4d36a2c1d7")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EMPTY_DIGEST = "SHA-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # source: section 4.3
BEARER = Session({"token": "t0ken", "style": "mutual_tls"}, 900.0)
SIGNED_BEARER = Session({"token": "t0ken", "style": "signature"}, 900.0)


def pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = KEY,
    encryption: KeySerializationEncryption | None = None,
) -> str:
    return key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()
    ).decode()


def ing(*, signs: bool = False, **context: Any) -> IngPaymentRequest:
    keys = IngKeys(
        api_base="https://api.ing.example/",
        client_id=Secret(CLIENT),
        tls_certificate_file=Path("tls.pem"),
        tls_key_file=Path("tls.key"),
        signing_key=Secret(pem()) if signs else None,
    )
    surroundings = AccountContext(**{"name": "ing", "words": {}, "live": False, **context})
    return IngPaymentRequest(keys, surroundings, now=lambda: NOW, new_id=lambda: REQUEST_ID)


def request(**changes: Any) -> dict[str, Any]:
    """Return an open request for one payment of 124.95; None takes a field away."""
    body = json.loads(recording("ing_payment_request", "get_open.json")) | changes
    return {name: value for name, value in body.items() if value is not None}


def euros(value: float) -> dict[str, Any]:
    return {"value": value, "currency": "EUR"}


def payment(value: float, number: int = 1, **changes: Any) -> dict[str, Any]:
    body = {
        "transactionId": f"{number:016d}",
        "executed": "2024-05-16T14:17:20.124+02:00",
        "amount": euros(value),
        "debtor": {"name": "J. de Vries", "iban": "NL99INGB0000006789"},
    }
    return body | changes


def seen(
    body: Mapping[str, Any] | bytes,
    *payments: Mapping[str, Any],
    known: Facts | None = None,
    **context: Any,
) -> Observation:
    """Read a request with these payments that is known to be an observation."""
    answers = at_paths({HERE: body, f"{HERE}/payments": {"payments": payments}})
    answer, _ = run(ing(**context).read(Kind.PAYMENT_REQUEST, REQUEST, known), answers)
    assert isinstance(answer, Observation)
    return answer


def at(*payments: float, **changes: Any) -> tuple[Status, int, bool]:
    """Return status, received and final of a request with these payments."""
    listed = [payment(value, number) for number, value in enumerate(payments)]
    facts = seen(request(**changes), *listed).facts
    return facts.status, facts.received, facts.final


def check_signature(value: str, text: str) -> None:
    """Verify the signature in a header's value over text; raises where it is another's."""
    fields = dict(part.split("=", 1) for part in value.split(","))
    assert fields["keyId"] == f'"{CLIENT}"'
    assert fields["algorithm"] == '"rsa-sha256"'
    assert fields["headers"] == '"(request-target) date digest"'
    signature = base64.b64decode(fields["signature"].strip('"'))
    KEY.public_key().verify(signature, text.encode(), PKCS1v15(), SHA256())


def digest_of(data: bytes) -> str:
    return "SHA-256=" + base64.b64encode(hashlib.sha256(data).digest()).decode()
