"""What a check of an ING account comes to, with what to do about it. Source: sections 2 and 6.2."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from service.providers import Finding

ACTIVE: Final = "Active"
UNREGISTERED: Final = "Unregistered"  # our word for a registration that is not found

REMEDIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        UNREGISTERED: "register the merchant with POST /payment-requests/registrations",
        "CertificateNotUploadedInIdealContract": (
            "upload the registration's idealContractCertificate in the iDEAL dashboard"
        ),
        "IdealContractNotActive": "have ING activate the iDEAL contract",
    }
)
ASK_ING: Final = "ask ING what the registration waits for; only an active one can be used"
PORTAL: Final = "look in the ING developer portal what the app is subscribed to"


def findings_of(
    may_read: bool, scopes: Collection[str] | None, needed: str, registration: str | None
) -> tuple[Finding, ...]:
    """Say what the calls of a check showed; scopes and registration are None where they hide."""
    return (
        Finding("login", ok=True, detail="ING gave a token"),
        _permission(may_read),
        Finding("webhook", ok=True, detail="ING calls nobody: requests are polled"),
        _scope(scopes, needed),
        _registration(registration),
    )


def _permission(may_read: bool) -> Finding:
    if may_read:
        return Finding("permission", ok=True, detail="payment requests can be read")
    remedy = "see to scope and registration, named below"
    return Finding("permission", ok=False, detail="reading is forbidden (403)", remedy=remedy)


def _scope(scopes: Collection[str] | None, needed: str) -> Finding:
    if scopes is None:
        return Finding("scope", ok=None, detail="the token does not tell", remedy=PORTAL)
    if needed in scopes:
        return Finding("scope", ok=True, detail=f"{needed} is granted")
    remedy = f"subscribe the app to {needed} in the ING developer portal"
    return Finding("scope", ok=False, detail=f"{needed} is not granted", remedy=remedy)


def _registration(status: str | None) -> Finding:
    if status is None:
        remedy = "look in the iDEAL dashboard, or subscribe the app to payment-requests:register"
        return Finding("registration", ok=None, detail="this app may not see it", remedy=remedy)
    if status == ACTIVE:
        return Finding("registration", ok=True, detail=ACTIVE)
    return Finding("registration", ok=False, detail=status, remedy=REMEDIES.get(status, ASK_ING))
