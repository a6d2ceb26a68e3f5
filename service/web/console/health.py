"""How things stand: accounts, reconcile runs, statuses, the system, and what persons did."""

from importlib.metadata import version

from starlette.responses import Response

from service.domain.drift import DriftClass
from service.domain.status import Status, definition_of
from service.errors import NotFound
from service.storage.views.accounts import list_accounts
from service.storage.views.counts import count_by_status
from service.storage.views.hours import HOUR_COUNTED_MAX
from service.storage.views.interventions import DID, InterventionFilter, list_interventions
from service.storage.views.reconciles import STATES, list_reconciles
from service.storage.views.system import read_system
from service.web.api.accounts import configured_accounts
from service.web.console.drawn import chart_of_drift, charts_of_account
from service.web.console.page import ROWS, Visit, read


async def accounts(visit: Visit) -> Response:
    visit.query()
    shown = await list_accounts(visit.here.pool, configured_accounts(visit.here))
    return visit.show("accounts.html", accounts=shown)


async def account(visit: Visit) -> Response:
    visit.query()
    name = str(visit.request.path_params["name"])
    configured = {each.name: each for each in configured_accounts(visit.here)}
    if name not in configured:
        raise NotFound("no such account is configured")
    (shown,) = await list_accounts(visit.here.pool, [configured[name]])
    charts = await charts_of_account(
        visit.here.pool, configured[name], used=shown["budget"]["used"]
    )
    return visit.show("account.html", account=shown, charts=charts, counted_max=HOUR_COUNTED_MAX)


async def reconciles(visit: Visit) -> Response:
    query = visit.query("account", "state")
    account, state = query.text("account"), query.word("state", STATES)
    page = await list_reconciles(
        visit.here.pool, account=account, state=state, after=query.cursor(), limit=ROWS
    )
    return visit.show(
        "reconciles.html",
        page=page,
        account=account,
        state=state,
        following=visit.next_page(page, account=account, state=state),
        accounts=sorted(visit.here.accounts),
        states=STATES,
        classes=list(DriftClass),
        drift=chart_of_drift(page.items),
    )


async def statuses(visit: Visit) -> Response:
    visit.query()
    counts = await count_by_status(visit.here.pool)
    return visit.show(
        "statuses.html", definitions=[definition_of(each) for each in Status], counts=counts
    )


async def system(visit: Visit) -> Response:
    visit.query()
    shown = await read_system(visit.here.pool)
    return visit.show("system.html", system=shown, version=version("settled"))


async def acts(visit: Visit) -> Response:
    query = visit.query("did", "endpoint")
    chosen = InterventionFilter(did=query.word("did", DID), endpoint=query.text("endpoint"))
    page = await list_interventions(visit.here.pool, chosen, after=query.cursor(), limit=ROWS)
    return visit.show(
        "acts.html",
        page=page,
        chosen=chosen,
        words_of_acts=DID,
        following=visit.next_page(page, did=chosen.did, endpoint=chosen.endpoint),
    )


ROUTES = [
    read("/console/accounts", accounts),
    read("/console/accounts/{name}", account),
    read("/console/reconciles", reconciles),
    read("/console/statuses", statuses),
    read("/console/system", system),
    read("/console/acts", acts),
]
