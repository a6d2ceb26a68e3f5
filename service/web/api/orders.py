"""/v1/orders: what the ERP wants paid."""

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.domain.money import EXPONENTS, Money
from service.domain.order import OrderStatus
from service.domain.request import Key
from service.errors import Malformed, NotFound
from service.flow.acknowledge import acknowledge_order
from service.flow.amend import Amendment, amend_order
from service.flow.reference import stripping
from service.flow.register import register_order
from service.providers import ChecksOrders
from service.runtime import Runtime, utc_now
from service.storage.database import Pool
from service.storage.views.orders import OrderFilter, find_order, list_orders
from service.web.api.acknowledge import acknowledgement_in
from service.web.api.acts import who_in
from service.web.api.answers import json_response, page_response
from service.web.api.fields import Fields, body_fields, is_printable
from service.web.api.query import Query
from service.web.api.requests import REFERENCE_CHARACTERS_MAX, take_key
from service.web.api.routing import resource
from service.web.api.versions import etag, versions_in

AMOUNT_MINOR_MAX = 10**15
METADATA_BYTES_MAX = 16 * 1024
REQUESTS_MAX = 100


async def list_all(request: Request) -> Response:
    """Answer a page of orders."""
    here: Runtime = request.state.runtime
    query = Query(request, "status", "updated_since", "q", "limit", "cursor")
    chosen = OrderFilter(
        status=query.word("status", OrderStatus),
        updated_since=query.time("updated_since"),
        q=query.text("q"),
    )
    page = await list_orders(here.pool, chosen, after=query.cursor(), limit=query.limit())
    return page_response(page)


async def register(request: Request, body: bytes) -> Response:
    """Register an order: 201, or 200 for the same content again."""
    here: Runtime = request.state.runtime
    fields = body_fields(body)
    reference = fields.text("reference", characters_max=REFERENCE_CHARACTERS_MAX)
    amount = _take_amount(fields)
    keys = []
    for item in fields.items("requests", items_max=REQUESTS_MAX):
        keys.append(take_key(item, here))
        item.end()
    if len(set(keys)) < len(keys):
        raise fields.wrong("requests", "each request once")
    metadata = fields.free("metadata", bytes_max=METADATA_BYTES_MAX)
    fields.end()
    _check_limits(amount, keys, here)
    registered = await register_order(
        here.pool,
        reference=reference,
        amount=amount,
        requests=keys,
        metadata=metadata,
        endpoints=list(here.endpoints.values()),
        now=utc_now(),
        stripping=stripping(here.accounts),
    )
    here.wake()
    return await _answer(here.pool, reference, status_code=201 if registered.created else 200)


async def show(request: Request) -> Response:
    """Answer one order, with its requests."""
    here: Runtime = request.state.runtime
    Query(request)
    return await _answer(here.pool, _reference_of_order(request))


async def amend(request: Request, body: bytes) -> Response:
    """Change what is expected of an order, and answer it as it is then."""
    here: Runtime = request.state.runtime
    Query(request)
    reference = _reference_of_order(request)
    versions = versions_in(request, required=True)
    await amend_order(
        here.pool,
        reference=reference,
        amendment=_amendment_in(body),
        versions=versions,
        who=who_in(request),
        endpoints=list(here.endpoints.values()),
        now=utc_now(),
    )
    here.wake()
    return await _answer(here.pool, reference)


async def acknowledge(request: Request, body: bytes) -> Response:
    """Take a code from an order that somebody has seen to, and answer the order."""
    here: Runtime = request.state.runtime
    Query(request)
    if not _ends_in_acknowledge(request):
        raise HTTPException(405, "an order takes GET and PATCH", {"allow": "GET, HEAD, PATCH"})
    reference = _reference_in(request)
    await acknowledge_order(
        here.pool,
        reference=reference,
        acknowledgement=acknowledgement_in(request, body),
        versions=versions_in(request, required=False),
        endpoints=list(here.endpoints.values()),
    )
    return await _answer(here.pool, reference)


def _reference_of_order(request: Request) -> str:
    """Return the reference in the path of an order, which takes a slash for that of the call.

    Raises HTTPException for .../acknowledge as it stands there: the order of that name has %2F.
    """
    if _ends_in_acknowledge(request):
        raise HTTPException(
            405, "acknowledge takes POST; write a reference's own / as %2F", {"allow": "POST"}
        )
    return _reference_in(request)


def _ends_in_acknowledge(request: Request) -> bool:
    """Return whether the path ends in this word behind a slash that is not part of a reference."""
    return bytes(request.scope["raw_path"]).endswith(b"/acknowledge")


def _reference_in(request: Request) -> str:
    reference = request.path_params["reference"]
    if not is_printable(reference, characters_max=REFERENCE_CHARACTERS_MAX):
        raise NotFound("no order with this reference")
    return reference


def _amendment_in(body: bytes) -> Amendment:
    fields = body_fields(body)
    if not any(map(fields.has, ("amount", "withdrawn", "metadata"))):
        raise Malformed("body: expected amount, withdrawn or metadata", code="bad_field")
    amendment = Amendment(
        amount=_take_amount(fields) if fields.has("amount") else None,
        withdrawn=fields.flag("withdrawn") if fields.has("withdrawn") else None,
        metadata=fields.free("metadata", bytes_max=METADATA_BYTES_MAX)
        if fields.has("metadata")
        else None,
    )
    fields.end()
    return amendment


def _take_amount(fields: Fields) -> Money:
    amount = fields.inner("amount")
    minor = amount.whole("minor", least=1, most=AMOUNT_MINOR_MAX)
    currency = amount.word("currency", EXPONENTS, expected="a currency code such as EUR")
    amount.end()
    return Money(minor, currency)


def _check_limits(amount: Money, keys: Sequence[Key], here: Runtime) -> None:
    """Raise Malformed when requests that are all at one account cannot carry the amount."""
    accounts = {key.account for key in keys}
    if len(accounts) == 1:
        provider = here.accounts[accounts.pop()].provider
        if isinstance(provider, ChecksOrders):
            provider.check_order(amount, requests=len(keys))


async def _answer(pool: Pool, reference: str, *, status_code: int = 200) -> Response:
    """Answer the order as it is now, with its version. Raises NotFound."""
    shown = await find_order(pool, reference)
    if shown is None:
        raise NotFound("no order with this reference")
    return json_response(shown, status_code=status_code, headers=etag(shown["version"]))


ROUTES = [
    resource("/v1/orders", get=list_all, post=register),
    # Before the one below, whose references may end in anything.
    resource("/v1/orders/{reference:path}/acknowledge", post=acknowledge, acts_as="operator"),
    resource("/v1/orders/{reference:path}", get=show, patch=amend),
]
