"""What a check of an account runs into and measures, in plain words with what to do about it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from service.errors import (
    NotAllowedYet,
    NotFoundThere,
    Rejected,
    TooManyCalls,
    Unauthorised,
    Unavailable,
    Unreadable,
)
from service.providers import Finding

# What the view of accounts shows of one: its state, reason and budget among others.
Health = Mapping[str, Any]

# Beyond this, signatures with a time in them begin to be refused.
SKEW_SECONDS_MAX: Final = 30.0

_SEE_ADDRESS: Final = "compare api_base with the provider's documentation"
_SEE_NETWORK: Final = (
    "check again; if it stays so, see to the network between us, and to the account's `timeout`"
)
_SEE_CREDENTIALS: Final = (
    "see that key, token or certificate is complete, not withdrawn, and of the environment (test"
    " or live) that api_base leads to; then restart, so that the workers have it too"
)
_CERTIFICATES: Final = (
    "this machine's clock, and that a certificate which the account shows is the one registered at"
    " the provider and has not run out"
)
_MORE_CALLS: Final = "raise `limit` as far as the provider allows"
_WAIT: Final = "check again later; the provider's status page may say more"

# What an error's detail means and what to do, where the detail alone tells.
_BY_DETAIL: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "http_401": ("the provider does not accept our credentials", _SEE_CREDENTIALS),
        "http_403": (
            "the provider knows our credentials and does not let us in",
            "at the provider, give them the right to read, and see from which addresses they work",
        ),
        "tls_failed": (
            "no secure connection: a certificate is not accepted",
            f"{_SEE_ADDRESS}; see to {_CERTIFICATES}",
        ),
        "name_not_resolved": (
            "the provider's host name cannot be found",
            f"{_SEE_ADDRESS}; see that this machine can look names up (DNS)",
        ),
        "connect_failed": (
            "nobody answers at the provider's address",
            f"{_SEE_ADDRESS}; see that firewalls let this machine out",
        ),
        "timeout": ("the provider does not answer in time", _SEE_NETWORK),
        "exchange_timeout": ("the provider does not answer in time", _SEE_NETWORK),
        "session_not_opened": ("another process is still opening a session", "check again"),
        "secret_file_unreadable": (
            "the file with the account's secret is away or empty",
            "see that it is there and that this user may read it",
        ),
    }
)

# The same for the rest, the more special ones first.
_BY_KIND: Final[tuple[tuple[type[Exception], tuple[str, str]], ...]] = (
    (Unauthorised, ("the provider does not accept our credentials", _SEE_CREDENTIALS)),
    (NotFoundThere, ("there is no such thing at the provider's address", _SEE_ADDRESS)),
    (
        Unreadable,
        (
            "what answers does not speak as the provider does; it may be another server's page",
            f"{_SEE_ADDRESS}; see whether a proxy answers in the provider's place",
        ),
    ),
    (Rejected, ("the provider's address cannot be used", _SEE_ADDRESS)),
    (
        TooManyCalls,
        (
            "the provider says that we call too often",
            "lower the account's `limit`, and look for others who use the same credentials",
        ),
    ),
    (Unavailable, ("the provider is out of order, or the way to it", _WAIT)),
)


def failure(error: Unavailable | Rejected, health: Health) -> Finding:
    """Say what a login ran into."""
    match error:
        case NotAllowedYet():
            return _not_tried(error.detail, error.retry_after_seconds or 0.0, health["reason"])
        case Unavailable(detail=detail) if detail.startswith("postgresql"):
            return Finding("database", False, detail, "see that PostgreSQL runs, and check again")
    said, remedy = _BY_DETAIL.get(error.detail) or next(
        words for kind, words in _BY_KIND if isinstance(error, kind)
    )
    return Finding("login", ok=False, detail=f"{said} ({error.detail})", remedy=remedy)


def _not_tried(what: str, seconds: float, reason: str | None) -> Finding:
    """Say why the provider was not asked; reason is that of the account's pause, if it has one."""
    if what == "session":
        detail = "not tried: a session was asked for a moment ago, and the provider allows no other"
        if reason == "unauthorised":
            detail = f"{detail}; the last one was refused"
        return Finding("login", None, detail, f"check again in {seconds:.0f} s")
    if reason == "rate_limited":
        detail = f"not tried: the provider wants no call for {seconds:.0f} s more"
        return Finding("login", None, detail, "check again when the pause has ended")
    detail = "not tried: the account's call budget is used up for now"
    return Finding("login", None, detail, f"check again; if it stays so, {_MORE_CALLS}")


def clock(skew_seconds: float | None) -> Finding:
    """Judge how far the provider's clock is ahead of ours."""
    if skew_seconds is None:
        remedy = "see that this machine's clock is set by NTP"
        return Finding("clock", None, "no answer told the provider's time", remedy)
    if abs(skew_seconds) <= SKEW_SECONDS_MAX:
        return Finding("clock", True, f"within {SKEW_SECONDS_MAX:.0f} s of the provider's")
    way = "behind" if skew_seconds > 0 else "ahead of"
    return Finding(
        "clock",
        ok=False,
        detail=f"ours is {abs(skew_seconds):.0f} s {way} the provider's",
        remedy="set this machine's clock by NTP: signatures and deadlines depend on it",
    )


def budget(health: Health) -> Finding:
    """Compare the calls that we would like to make without being told with those that fit."""
    planned, possible = health["budget"]["planned"], health["budget"]["possible"]
    if planned is None or possible is None:
        remedy = "see that `settled up`, or a beat, runs; check again in a few minutes"
        return Finding("budget", None, "nothing is planned yet", remedy)
    detail = f"{planned} calls planned in {health['budget']['seconds']:g} s, {possible} possible"
    if planned <= possible:
        return Finding("budget", True, detail)
    return Finding(
        "budget",
        ok=False,
        detail=f"{detail}: intervals are {health['stretched']} times as long as wished",
        remedy=f"{_MORE_CALLS}, or lengthen the intervals of [polling]",
    )
