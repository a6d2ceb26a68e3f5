"""A webhook call comes in: let in, verified, stored with what it makes due; then a worker is woken.

The answer to the caller waits for the commit and for nothing else.
"""

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import cast

from service.domain.event import Call, Event, EventVerdict
from service.errors import Malformed, UnknownAccount
from service.fetch import ConnectedAccount
from service.providers import Provider, SendsWebhooks
from service.telemetry.metrics import EVENTS

# Stores the events of a call of an account; returns when they are committed.
Store = Callable[[str, Call, Sequence[Event]], Awaitable[None]]

# What plain indexing and parsing raise over a body of another shape or of endless depth.
_UNREADABLE = (
    LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError
)  # fmt: skip

_NOTHING = Event(None, None, verdict=EventVerdict.SET_ASIDE, reason="no_events")
_NO_TOKEN = secrets.token_hex(32)


async def receive(
    call: Call,
    admitted: ConnectedAccount,
    *,
    store: Store,
    wake: Callable[[], None],
) -> None:
    """Verify a call to an account that it was admitted to; returns once its events are committed.

    An authentic call that names nothing to do is stored all the same, as evidence. Raises
    BadSignature or Malformed; Unavailable when the events cannot be stored now.
    """
    events = events_in(call, admitted) or (_NOTHING,)
    await store(admitted.name, call, events)
    for event in events:
        _counter(admitted.name, str(event.verdict)).inc()
    if any(event.verdict is EventVerdict.ACCEPTED for event in events):
        wake()


def admit(
    account: str,
    *,
    token: str | None,
    source: str | None,
    accounts: Mapping[str, ConnectedAccount],
) -> ConnectedAccount:
    """Return the account that a call may come in for.

    token is the path segment behind the account, source the address that called. Raises
    UnknownAccount, the same whatever is wrong: no such account, another token, one too many, a
    source outside webhook_allow_from, or a provider that sends no webhooks.
    """
    found = accounts.get(account)
    expected = found.section.webhook_token if found else None
    is_token = _same(expected.reveal() if expected else _NO_TOKEN, token or "")
    opens = is_token if expected else token is None
    if (
        found is None
        or not opens
        or not _sends_webhooks(type(found.provider))
        or not comes_from(source, found.section.webhook_allow_from)
    ):
        raise UnknownAccount("there is no such account")
    return found


def events_in(call: Call, account: ConnectedAccount) -> Sequence[Event]:
    """Return the events in a call to an admitted account. Raises BadSignature or Malformed."""
    provider = cast("SendsWebhooks", account.provider)
    try:
        return provider.verify(call)
    except _UNREADABLE as error:
        raise Malformed(f"{type(error).__name__} in the body") from error


def comes_from(source: str | None, networks: tuple[str, ...]) -> bool:
    """Return whether an address lies in one of networks; everywhere does where there are none.

    An IPv4 address that arrived over an IPv6 socket counts as IPv4.
    """
    if not networks:
        return True
    try:
        address = ipaddress.ip_address(source or "")
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return any(address in network for network in _parsed(networks))


@cache
def _sends_webhooks(provider: type[Provider]) -> bool:
    """Kept per class: to ask a protocol costs more than all else that an admission takes."""
    return issubclass(provider, SendsWebhooks)


@lru_cache(maxsize=1024)
def _parsed(
    networks: tuple[str, ...],
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(network) for network in networks)


def _same(expected: str, given: str) -> bool:
    """Compare in a time that tells nothing, not even the length of what is expected."""
    return hmac.compare_digest(_digest(expected), _digest(given))


# Found once for each pair: to look a counter up by its labels costs more than to add to it.
_counter = cache(EVENTS.labels)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
