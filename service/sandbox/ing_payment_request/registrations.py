"""The merchant's registration, of which a client has one. Source: fact sheet, sections 5.7, 6.2."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from service.sandbox.ing_payment_request.creation import Refused, cents_in, read_json
from service.sandbox.ing_payment_request.words import euros, stamp
from service.sandbox.ledger import Json

RegistrationStatus = Literal[
    "Open",
    "Active",
    "Expired",
    "Cancelled",
    "Error",
    "Disabled",
    "CertificateNotUploadedInIdealContract",
    "IdealContractNotActive",
]

DAILY_LIMIT_MAX = 50_000_00

_TEXTS = {
    "merchantId": re.compile(r"[0-9]{9}"),
    "merchantSubId": re.compile(r"[0-9]{0,6}"),
    "merchantName": re.compile(r"""[-A-Za-z0-9= %*+,./&@"':;?()$]{1,70}"""),
    "merchantIBAN": re.compile(r"[a-zA-Z]{2}[0-9]{2}[a-zA-Z0-9]{4}[0-9]{10}"),
    "merchantLogo": re.compile(r"[A-Za-z0-9+/=]{1,44032}"),
    "allowIngAppPayments": re.compile(r"[YN]"),
}
_REQUIRED = ("merchantId", "merchantName", "merchantIBAN", "dailyReceivableLimit")

_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIexample\n-----END CERTIFICATE-----\n"
_CSR = "-----BEGIN CERTIFICATE REQUEST-----\nMIIexample\n-----END CERTIFICATE REQUEST-----\n"
# The 202 of version 5.0.1.
CERTIFICATES: Json = {
    "idealContractCertificate": _CERTIFICATE,
    "acquiringMtlsCertificate": _CERTIFICATE,
    "acquiringSigningCertificate": _CERTIFICATE,
    "idealHubMtlsCsr": _CSR,
    "idealHubSigningCsr": _CSR,
}


def _company() -> Json:
    """Return the company of the samples."""
    return {
        "merchantId": "001234567",
        "merchantSubId": "123456",
        "merchantName": "Company BV",
        "merchantIBAN": "NL26INGB0003275339",
        "dailyReceivableLimit": euros(25_000_00),
        "allowIngAppPayments": "Y",
    }


@dataclass(slots=True)
class Registration:
    """What the merchant said of itself, and how far the registration is."""

    status: RegistrationStatus
    company: Json = field(default_factory=_company)
    created: str = "2024-01-08T10:00:00.000+01:00"
    updated: str = "2024-01-15T16:30:00.000+01:00"

    def change(self, body: bytes, now: datetime) -> None:
        """Take over any subset of the fields. Raises Refused."""
        self.company |= _fields_in(body)
        self.updated = stamp(now)

    def shown(self) -> Json:
        """Return what a read shows; the certificate until it stands in the iDEAL contract."""
        shown = self.company | {
            "created": self.created,
            "lastUpdated": self.updated,
            "status": self.status,
        }
        if self.status == "CertificateNotUploadedInIdealContract":
            shown["idealContractCertificate"] = _CERTIFICATE
        return shown


def registration_in(body: bytes, now: datetime) -> Registration:
    """Return a new registration: its certificate is still to get into the contract.

    Raises Refused.
    """
    company = _fields_in(body)
    for name in _REQUIRED:
        if name not in company:
            raise Refused(name, "This field is required")
    company.setdefault("allowIngAppPayments", "Y")
    moment = stamp(now)
    return Registration("CertificateNotUploadedInIdealContract", company, moment, moment)


def check_certificates(body: bytes) -> None:
    """Check an upload of four certificates. Raises Refused."""
    sent = read_json(body)
    for name in ("cert1", "cert2", "cert3", "cert4"):
        text = sent.get(name)
        if not (isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", text)):
            raise Refused(name, "Base64 is required")


def _fields_in(body: bytes) -> Json:
    sent, fields = read_json(body), Json()
    for name, pattern in _TEXTS.items():
        text = sent.get(name)
        if name in sent:
            if not (isinstance(text, str) and pattern.fullmatch(text)):
                raise Refused(name, "Only the documented characters are allowed")
            fields[name] = text
    if "dailyReceivableLimit" in sent:
        limit = cents_in(sent["dailyReceivableLimit"], "value", "dailyReceivableLimit")
        if limit > DAILY_LIMIT_MAX:
            raise Refused("dailyReceivableLimit", "Above the limit")
        fields["dailyReceivableLimit"] = euros(limit)
    return fields
