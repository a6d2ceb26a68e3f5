"""The calls of Ginger's API that we make. Source: fact sheet ginger, sections 2, 3, 11, 12, 15."""

import base64
from collections.abc import Iterable
from datetime import datetime

import httpx

from service.errors import NotFoundThere, Unreadable
from service.providers import Exchange
from service.providers.ginger.moments import in_z
from service.providers.ginger.shapes import Entry, Link, Methods, Order, Sign, parsed, shaped


class Api:
    """Yields each request and receives its response; callers have checked the ids' shape."""

    def __init__(self, api_base: str, api_key: str) -> None:
        self._orders_url = f"{api_base.rstrip('/')}/v1/orders/"
        self._links_url = f"{api_base.rstrip('/')}/v1/paymentlinks/"
        self._methods_url = f"{api_base.rstrip('/')}/v1/merchants/self/projects/self/currencies"
        # The key is the user name; the password is empty, its colon is not.
        login = base64.b64encode(f"{api_key}:".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}", "Accept": "application/json"}

    def order(self, order_id: str, *, with_details: bool = False) -> Exchange[tuple[object, Order]]:
        """Read one order; return it also as it came."""
        query = "?fields%5B%5D=amount_details" if with_details else ""
        raw = parsed((yield self._get(f"{self._orders_url}{order_id}/{query}")))
        order = shaped(raw, Order)
        if order.id.lower() != order_id:
            raise Unreadable("answer for another order")
        return raw, order

    def link(self, link_id: str) -> Exchange[tuple[object, Link]]:
        """Read one payment link; return it also as it came."""
        raw = parsed((yield self._get(f"{self._links_url}{link_id}/")))
        link = shaped(raw, Link)
        if link.id.lower() != link_id:
            raise Unreadable("answer for another payment link")
        return raw, link

    def orders(self, order_ids: Iterable[str]) -> Exchange[dict[str, Order]]:
        """Read those of the orders that can be found."""
        found = {}
        for order_id in order_ids:
            try:
                _, found[order_id] = yield from self.order(order_id)
            except NotFoundThere:
                continue
        return found

    def refunds(self, order_id: str) -> Exchange[dict[str, Order] | None]:
        """Read the list of an order's refunds, None where there is none: the path is assumed."""
        try:
            response = yield self._get(f"{self._orders_url}{order_id}/refunds/")
        except NotFoundThere:
            return None
        return {child.checked_id: child for child in shaped(parsed(response), list[Order])}

    def created(self, since: datetime, until: datetime) -> Exchange[list[Entry]]:
        """Read the list of the orders created in a window."""
        return shaped(parsed((yield self._list(since, until))), list[Entry])

    def signs(
        self, since: datetime, until: datetime
    ) -> Exchange[tuple[list[Sign], httpx.Response]]:
        """Read from the same list what it shows of the account; return it also as it came."""
        response = yield self._list(since, until)
        return shaped(parsed(response), list[Sign]), response

    def payment_methods(self) -> Exchange[tuple[str, ...] | None]:
        """Read which methods the key may use, None where a brand does not tell: no reference does.

        Source: section 15, the answer of the currencies endpoint.
        """
        try:
            response = yield self._get(self._methods_url)
        except NotFoundThere:
            return None
        return tuple(shaped(parsed(response), Methods).payment_methods)

    def _list(self, since: datetime, until: datetime) -> httpx.Request:
        window = {"created_since": in_z(since), "created_until": in_z(until)}
        return httpx.Request("GET", self._orders_url, params=window, headers=self._headers)

    def _get(self, url: str) -> httpx.Request:
        return httpx.Request("GET", url, headers=self._headers)
