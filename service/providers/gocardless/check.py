"""Whether an account at GoCardless is set up as it must be: three cheap calls.

Where webhooks are registered cannot be asked, but each delivery made is listed with the address
that it went to. Source: fact sheet gocardless, sections 2.3 and 5 (every enabled endpoint gets
every event); the field `url` of a webhook is named in the official client libraries.
"""

from collections.abc import Sequence
from typing import Final

from service.errors import Rejected, Unauthorised
from service.providers import Exchange, Finding
from service.providers.gocardless.api import RESOURCES, Api

# Enough to see each of several endpoints; a delivery is listed with its body, which may be long.
DELIVERIES_LOOKED_AT: Final = 10

_REGISTER: Final = (
    "open Developers, Webhook endpoints in the GoCardless dashboard and register our address, with"
    " a secret that is in webhook_secrets; if it is there, send a test webhook and check again"
)


def findings(api: Api, webhook_url: str | None) -> Exchange[tuple[Finding, ...]]:
    """Check login, permission and webhook. Raises what the login runs into."""
    forbidden: list[str] = []
    for name in RESOURCES.values():
        if (yield from _is_forbidden(api, name)):
            forbidden += [name]
    login = Finding("login", ok=True, detail="the access token is accepted")
    return login, _permission(forbidden), (yield from _webhook(api, webhook_url))


def _is_forbidden(api: Api, name: str) -> Exchange[bool]:
    """Try a list. A token that is good, but not for this, is told by 403."""
    try:
        yield from api.page(name, {}, None, limit=1)
    except Unauthorised as error:
        if error.detail != "http_403":
            raise
        return True
    return False


def _permission(forbidden: Sequence[str]) -> Finding:
    if not forbidden:
        return Finding("permission", ok=True, detail="billing requests and payments can be read")
    return Finding(
        "permission",
        ok=False,
        detail=f"the access token may not read {' and '.join(forbidden)}",
        remedy="create an access token with read access in the GoCardless dashboard, Developers,"
        " and see that Billing Requests are enabled for the account",
    )


def _webhook(api: Api, webhook_url: str | None) -> Exchange[Finding]:
    """Judge by the newest deliveries whether our address is registered and heard."""
    if webhook_url is None:
        return _webhook_is(None, "the configuration does not name our address", "set base_url")
    try:
        found, _ = yield from api.page("webhooks", {}, None, limit=DELIVERIES_LOOKED_AT)
    except Rejected:
        return _webhook_is(None, "the deliveries made cannot be read", _REGISTER)
    addressed = [item for item in found if isinstance(item, dict) and item.get("url")]
    ours = [item for item in addressed if item["url"] == webhook_url]
    if not addressed:
        return _webhook_is(None, "no delivery was made yet", _REGISTER)
    if not ours:
        return _webhook_is(False, "the newest deliveries went to other addresses", _REGISTER)
    if ours[0].get("successful") is False:
        return _webhook_is(
            False,
            "the newest delivery to our address failed",
            "see its answer in the GoCardless dashboard, Developers, Events: 498 asks for the"
            " endpoint's secret in webhook_secrets, a time-out for a reachable address",
        )
    return _webhook_is(True, "deliveries arrive at our address")


def _webhook_is(ok: bool | None, detail: str, remedy: str = "") -> Finding:
    return Finding("webhook", ok=ok, detail=detail, remedy=remedy)
