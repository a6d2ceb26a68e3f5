"""Whether a Ginger account is set up as it must be: three cheap calls.

Where a project's webhook leads cannot be asked, but the orders made lately may name one of their
own, and they show whose they are. Addresses hold our token and are not repeated.

Source: fact sheet ginger, sections 2 and 7 (test orders), 3 (operations), 11 (list), 13 (webhook).
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx

from service.domain.retry import http_date_in
from service.errors import Unauthorised
from service.providers import Exchange, Finding
from service.providers.ginger.api import Api
from service.providers.ginger.shapes import Sign

LATELY: Final = timedelta(hours=1)  # short, because the list has no pages
NOTHING: Final = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC))

_ALLOW: Final = "have the provider allow the key to read orders, or set api_key to one that may"
_ENABLE: Final = "have a payment method enabled for the key by the provider"
_PROJECTS: Final = "compare project_ids with the dashboard: calls about others are set aside"
_LIVE: Final = "set api_key to the live key: in live mode test orders count for nothing"
_DASHBOARD: Final = "look in the provider's dashboard whether the project's webhook is our address"
_ORDERS: Final = "have orders made without a webhook_url of their own, or with our address"


def findings(
    api: Api, *, project_ids: frozenset[str], live: bool, webhook_url: str | None
) -> Exchange[tuple[Finding, ...]]:
    """Read an empty list, which proves the login; then the last hour's orders and the methods.

    The hour ends at the provider's own time, which its first answer tells. Raises what the login
    runs into.
    """
    login = Finding("login", ok=True, detail="the key is accepted")
    try:
        _, response = yield from api.signs(*NOTHING)
    except Unauthorised as error:
        if error.detail != "http_403":
            raise
        refused = Finding(
            "permission", ok=False, detail="orders are not shown to it", remedy=_ALLOW
        )
        return login, refused, _webhook((), webhook_url)
    now = _date_of(response)
    signs = [] if now is None else (yield from api.signs(now - LATELY, now))[0]
    methods = yield from api.payment_methods()
    return (
        login,
        Finding("permission", ok=True, detail="the key may read orders"),
        _methods(methods),
        _project(signs, project_ids),
        _mode(signs, live=live),
        _webhook(signs, webhook_url),
    )


def _methods(names: Sequence[str] | None) -> Finding:
    if names is None:
        return Finding("payment_methods", None, "the API of this brand does not tell", _ENABLE)
    if not names:
        return Finding("payment_methods", ok=False, detail="none is enabled", remedy=_ENABLE)
    return Finding("payment_methods", ok=True, detail=f"{len(names)} are enabled")


def _project(signs: Sequence[Sign], project_ids: frozenset[str]) -> Finding:
    """Judge whether the projects that are configured as ours are those that the key sees."""
    if not project_ids:
        return Finding("project", ok=True, detail="every project of the key counts as ours")
    seen = {sign.project_id.lower() for sign in signs if sign.project_id is not None}
    if not seen:
        return Finding("project", None, "no order of the last hour shows one", _PROJECTS)
    if seen.isdisjoint(project_ids):
        detail = "all orders of the last hour are of projects that are not in project_ids"
        return Finding("project", ok=False, detail=detail, remedy=_PROJECTS)
    return Finding("project", ok=True, detail="the key sees orders of a project in project_ids")


def _mode(signs: Sequence[Sign], *, live: bool) -> Finding:
    if not live:
        return Finding("mode", ok=True, detail="in test mode every order counts")
    if any("is-test" in (sign.flags or ()) for sign in signs):
        return Finding("mode", ok=False, detail="the key makes test orders", remedy=_LIVE)
    return Finding("mode", None, "no order of the last hour says that it is a test", _LIVE)


def _webhook(signs: Sequence[Sign], webhook_url: str | None) -> Finding:
    named = [sign.webhook_url for sign in signs if sign.webhook_url is not None]
    if webhook_url is None:
        return Finding("webhook", None, "the configuration does not name ours", "set base_url")
    if not named:
        return Finding("webhook", None, "the API does not tell the project's", _DASHBOARD)
    others = sum(url.rstrip("/") != webhook_url.rstrip("/") for url in named)
    if others:
        detail = f"{others} of the last hour's orders name another address for themselves"
        return Finding("webhook", ok=False, detail=detail, remedy=_ORDERS)
    return Finding("webhook", ok=True, detail="the last hour's orders name our address")


def _date_of(response: httpx.Response) -> datetime | None:
    """Return the provider's time, None where its answer does not tell a likely one."""
    date = http_date_in(response.headers.get("date", ""))
    return date if date is not None and date - NOTHING[1] > LATELY else None
