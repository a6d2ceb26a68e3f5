"""/v1/reconcile and /v1/reconciles: have accounts compared with their providers, and watch it."""

import re

from starlette.requests import Request
from starlette.responses import Response

from service.errors import NotFound
from service.flow.intervene import have_reconciled
from service.runtime import Runtime, utc_now
from service.settings import Expected
from service.storage.views.reconciles import STATES, find_reconciles, list_reconciles
from service.web.api.answers import json_response, list_response, page_response
from service.web.api.fields import body_fields
from service.web.api.query import Query
from service.web.api.routing import resource
from service.web.security import identify

SINCE_CHARACTERS_MAX = 40

_ID = re.compile("[1-9][0-9]{0,17}", re.ASCII)


async def start(request: Request, body: bytes) -> Response:
    """Have one account, or all, reconciled: 202 with the runs that workers will work off."""
    here: Runtime = request.state.runtime
    fields = body_fields(body)
    account = fields.optional_text("account", characters_max=200)
    since = fields.text("since", characters_max=SINCE_CHARACTERS_MAX)
    dry_run = fields.flag("dry_run")
    fields.end()
    if account is not None and account not in here.accounts:
        raise fields.wrong("account", "the name of a configured account, or none for all")
    caller = identify(request.headers.get("authorization"), here.settings.settled.api_keys)
    try:
        ids = await have_reconciled(
            here.pool,
            sorted(here.accounts) if account is None else [account],
            since=since,
            dry_run=dry_run,
            by=caller.name,
            now=utc_now(),
        )
    except Expected as error:
        raise fields.wrong("since", str(error)) from None
    return list_response(await find_reconciles(here.pool, ids), status_code=202)


async def list_all(request: Request) -> Response:
    """Answer a page of runs, whoever began them."""
    here: Runtime = request.state.runtime
    query = Query(request, "account", "state", "limit", "cursor")
    page = await list_reconciles(
        here.pool,
        account=query.text("account"),
        state=query.word("state", STATES),
        after=query.cursor(),
        limit=query.limit(),
    )
    return page_response(page)


async def show(request: Request) -> Response:
    """Answer one run."""
    here: Runtime = request.state.runtime
    Query(request)
    run_id = str(request.path_params["id"])
    shown = await find_reconciles(here.pool, [int(run_id)] if _ID.fullmatch(run_id) else [])
    if not shown:
        raise NotFound("no such reconcile")
    return json_response(shown[0])


ROUTES = [
    resource("/v1/reconcile", post=start, acts_as="operator"),
    resource("/v1/reconciles", get=list_all),
    resource("/v1/reconciles/{id}", get=show),
]
