"""How a call to GoCardless is made, and what its answers say about further calls.

Source: fact sheet gocardless, sections 1 (connection), 8 (pages), 9 (limits).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from service.domain.request import Kind
from service.domain.strict_json import NotStrict
from service.errors import Unreadable
from service.providers import Exchange
from service.providers.gocardless.by_item import parse_by_item
from service.providers.gocardless.shapes import PageMeta, shaped, unwrapped

API_VERSION: Final = "2015-07-06"  # source: section 1
# The resources as this API names them, in paths and envelopes.
RESOURCES: Final = {Kind.BILLING_REQUEST: "billing_requests", Kind.PAYMENT: "payments"}

# Half the most there is: a page of the largest items, 4 KiB each, still fits into an answer.
# Source: section 8; as many events come in one call (section 5).
ENTRIES_PER_PAGE: Final = 250
LIMIT_WAIT_SECONDS_MAX: Final = 120.0  # twice the minute that the limit counts. Source: section 9

_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)


class Api:
    """Where the API is and what every call to it carries."""

    def __init__(self, api_base: str, *, access_token: str) -> None:
        self._api_base = api_base.rstrip("/")
        self._headers = {
            "Authorization": f"Bearer {access_token}",
            "GoCardless-Version": API_VERSION,
            "Accept": "application/json",
        }

    def one(self, kind: Kind, provider_id: str) -> Exchange[object]:
        """Read one resource, out of its envelope. The id's shape was checked. Raises Unreadable."""
        name = RESOURCES[kind]
        return unwrapped(_json_in((yield self._get(f"/{name}/{provider_id}")), name), name)

    def page(
        self,
        name: str,
        chosen: Mapping[str, str],
        cursor: str | None,
        *,
        limit: int = ENTRIES_PER_PAGE,
    ) -> Exchange[tuple[list[object], str | None]]:
        """Read one page of a list and the cursor of the next, which holds older records.

        An item that cannot be read at all is None. Raises Unreadable.
        """
        after = {"after": cursor} if cursor else {}
        query = {**chosen, "limit": str(limit), **after}
        raw = _json_in((yield self._get(f"/{name}", query)), name)
        following = shaped(unwrapped(raw, "meta"), PageMeta).cursors.after
        if following is not None and following == cursor:
            raise Unreadable("a page that leads to itself")
        return shaped(unwrapped(raw, name), list[object]), following

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> httpx.Request:
        return httpx.Request("GET", f"{self._api_base}{path}", params=query, headers=self._headers)


def wait_seconds(response: httpx.Response, *, now: datetime) -> float | None:
    """Return the time to the reset once no call is left, at most 120 s. Source: section 9."""
    is_used_up = response.headers.get("ratelimit-remaining") == "0"
    if not is_used_up and response.status_code != httpx.codes.TOO_MANY_REQUESTS:
        return None
    reset_at = _http_date_in(response.headers.get("ratelimit-reset", ""))
    if reset_at is None:
        return None
    return min(max((reset_at - now).total_seconds(), 0.0), LIMIT_WAIT_SECONDS_MAX)


def _json_in(response: httpx.Response, name: str) -> object:
    """Return an answer's JSON; of a list called name, an odd item is None. Raises Unreadable."""
    try:
        return parse_by_item(response.content, name)
    except NotStrict as error:
        raise Unreadable(str(error)) from error


def _http_date_in(text: str) -> datetime | None:
    """Return the time in "Thu, 03 May 2018 16:00:00 GMT", None for anything else."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC) if _HTTP_DATE.fullmatch(text) else None
    except ValueError:
        return None
