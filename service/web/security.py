"""Who calls: bearer keys, and what their roles allow. Source: CONTRACT.md, section 6."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import get_args

from service.errors import Forbidden, Unauthenticated
from service.settings import ApiKey, Role

# From the smallest to the largest: each role may do what those before it may.
ROLES: tuple[Role, ...] = get_args(Role)


def authorise(authorization: str | None, keys: Iterable[ApiKey], *, at_least: Role) -> ApiKey:
    """Return the key that an Authorization header presents, if its role suffices.

    Raises Unauthenticated without a key of ours, Forbidden when the role is too small.
    """
    caller = identify(authorization, keys)
    if ROLES.index(caller.role) < ROLES.index(at_least):
        raise Forbidden(f'this takes the role "{at_least}"; the key "{caller.name}" has less')
    return caller


def identify(authorization: str | None, keys: Iterable[ApiKey]) -> ApiKey:
    """Return the key that an Authorization header presents. Raises Unauthenticated."""
    scheme, _, presented = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not presented.strip():
        raise Unauthenticated("expected the header Authorization: Bearer KEY")
    caller = _matching(presented.strip(), keys)
    if caller is None:
        raise Unauthenticated("no such key")
    return caller


def _matching(presented: str, keys: Iterable[ApiKey]) -> ApiKey | None:
    """Compare with every key, to the end: the time taken tells neither which nor how much fits.

    Digests are compared because compare_digest shows the length of what it is given.
    """
    digest = _digest(presented)
    found = None
    for key in keys:
        if hmac.compare_digest(digest, _digest(key.key.reveal())):
            found = key
    return found


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
