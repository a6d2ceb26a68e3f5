"""Whether an account is set up as it must be, as far as bunq's API can tell.

Source: fact sheet bunq, sections 1 (ids), 3 (keys), 4 (notification filters). No registered
address is told: the path of one is all that keeps strangers from calling us.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import httpx

from service.errors import NotFoundThere, Rejected, Unauthorised, Unreadable
from service.providers import Exchange, Finding
from service.providers.bunq.keys import BunqKeys
from service.providers.bunq.shapes import Body, Filter
from service.providers.bunq.signature import SERVER_HEADER, PublicKey, is_signed

CATEGORY: Final = "REQUEST"  # money of requests is told in no other. Source: section 11, point 11
FORBIDDEN: Final = "http_403"
FILTERS: Final = "notification-filter-url"

# Checks an answer's signature and reads its body.
Read = Callable[[httpx.Response], Body]


@dataclass(frozen=True, slots=True)
class Shown:
    """What a call came to: a body, or why there is none."""

    body: Body | None = None
    failure: Rejected | None = None
    response: httpx.Response | None = None

    @property
    def is_there(self) -> bool | None:
        """Whether what was asked for exists and is ours to see, None where that is not said."""
        if isinstance(self.failure, NotFoundThere | Unauthorised):
            return False
        return True if self.failure is None else None


def findings(
    keys: BunqKeys, server_keys: Iterable[PublicKey], read: Read, webhook_url: str | None
) -> Exchange[tuple[Finding, ...]]:
    """Read a request, then the filters of the user and, where those do not do, of the account.

    Raises Unauthorised where the login does not hold, and Unavailable.
    """
    requests = yield from _shown(f"{keys.account_url}/request-inquiry?count=1", read)
    of_user = yield from _shown(f"{keys.user_url}/{FILTERS}", read)
    filters = _filters_in(of_user)
    if requests.is_there and (CATEGORY, webhook_url) not in filters:
        filters |= _filters_in((yield from _shown(f"{keys.account_url}/{FILTERS}", read)))
    return (
        Finding("login", True, "a session was opened and is accepted"),
        _user(keys, {requests.is_there, of_user.is_there}),
        _monetary_account(keys, requests),
        _permission(requests),
        _webhook(webhook_url, filters, are_all=of_user.body is not None),
        _signature(requests.response, tuple(server_keys)),
    )


def _shown(url: str, read: Read) -> Exchange[Shown]:
    response: httpx.Response | None = None
    try:
        response = yield httpx.Request("GET", url)
        return Shown(read(response), response=response)
    except Rejected as failure:
        if isinstance(failure, Unauthorised) and failure.detail != FORBIDDEN:
            raise
        return Shown(failure=failure, response=response)


def _filters_in(shown: Shown) -> set[tuple[str | None, str | None]]:
    """Return category and address of each filter that can be read."""
    if shown.body is None:
        return set()
    try:
        filters = shown.body.of("NotificationFilterUrl", Filter)
    except Unreadable:
        return set()
    return {(one.category, one.notification_target) for one in filters}


def _user(keys: BunqKeys, said: set[bool | None]) -> Finding:
    if True in said:
        return Finding("user", True, f"user {keys.user_id} can be reached with the API key")
    return Finding(
        "user",
        None if None in said else False,
        f"user {keys.user_id} is not the API key's, or the key may see nothing of it",
        "set user_id to the id of the user that bunq names when a session is opened",
    )


def _monetary_account(keys: BunqKeys, requests: Shown) -> Finding:
    number = keys.monetary_account_id
    if requests.is_there:
        return Finding("monetary_account", True, f"monetary account {number} exists")
    return Finding(
        "monetary_account",
        False if isinstance(requests.failure, NotFoundThere) else None,
        f"monetary account {number} of user {keys.user_id} is not shown",
        "set monetary_account_id to the account that the requests are made for",
    )


def _permission(requests: Shown) -> Finding:
    match requests.failure:
        case None:
            return Finding("permission", True, "requests can be read")
        case NotFoundThere():
            return Finding(
                "permission",
                None,
                "without an account to look at it cannot be told",
                "see to user_id and monetary_account_id first",
            )
        case Unauthorised():
            return Finding(
                "permission",
                False,
                "bunq refuses to show the requests of the account (403)",
                "use an API key of the account's owner, bound to the addresses that we call from",
            )
        case failure:
            return Finding(
                "permission",
                False,
                f"the requests of the account cannot be read: {failure.detail}",
                "compare api_base with bunq's address, and server_public_key_file with the key"
                " that answers are signed with",
            )


def _webhook(
    webhook_url: str | None, filters: set[tuple[str | None, str | None]], *, are_all: bool
) -> Finding:
    if webhook_url is not None and (CATEGORY, webhook_url) in filters:
        return Finding("webhook", True, f"our address is registered for {CATEGORY}")
    if not are_all:
        return Finding(
            "webhook",
            None,
            "the notification filters cannot be read",
            "look in the bunq app, or ask with a key that may, whether our address is registered",
        )
    others = sum(1 for category, _ in filters if category == CATEGORY)
    if webhook_url is None:
        return Finding(
            "webhook",
            None,
            f"addresses registered for {CATEGORY}: {others}; ours is not known",
            "set base_url, and webhook_token at the account, so that it can be compared",
        )
    elsewhere = any(target == webhook_url for _, target in filters)
    only = ", only for other categories" if elsewhere else ""
    return Finding(
        "webhook",
        False,
        f"our address is not registered for {CATEGORY}{only}; addresses that are: {others}",
        f"read the filters of the user, add {CATEGORY} with our address (https only) and send the"
        " whole list again: it replaces what is there, and a category takes two addresses",
    )


def _signature(response: httpx.Response | None, server_keys: tuple[PublicKey, ...]) -> Finding:
    """Judge whether the files hold the key that bunq signs with: calls are checked with no other.

    Answers are checked with the installation's key too, so that a wrong file is not seen there.
    """
    signature = None if response is None else response.headers.get(SERVER_HEADER)
    if response is None or signature is None:
        return Finding(
            "signature",
            None,
            "the answer has no signature to try server_public_key_file with",
            "compare the file with the key that bunq gave with the installation",
        )
    if not server_keys:
        return Finding(
            "signature",
            None,
            "there is no server_public_key_file: the signature of a call is not checked",
            "keep the server's public key in a file and name it in server_public_key_file",
        )
    if is_signed(response.content, signature, server_keys):
        return Finding("signature", True, "server_public_key_file holds the key of the answers")
    return Finding(
        "signature",
        False,
        "answers are signed with another key than server_public_key_file holds",
        "add the file of this installation's server key: signed calls are refused until then",
    )
