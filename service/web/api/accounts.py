"""/v1/accounts and /v1/coverage: how each account is doing, and what we have looked through."""

from starlette.requests import Request
from starlette.responses import Response

from service.runtime import Runtime
from service.storage.views.accounts import Configured, list_accounts, list_coverage
from service.web.api.answers import list_response
from service.web.api.query import Query
from service.web.api.routing import resource


async def accounts(request: Request) -> Response:
    """Answer the health of all configured accounts."""
    here: Runtime = request.state.runtime
    Query(request)
    return list_response(await list_accounts(here.pool, configured_accounts(here)))


async def coverage(request: Request) -> Response:
    """Answer, per account, what was looked through and what made us find changes."""
    here: Runtime = request.state.runtime
    Query(request)
    return list_response(await list_coverage(here.pool, here.accounts))


def configured_accounts(here: Runtime) -> list[Configured]:
    """Return what the view of accounts has to know from the configuration."""
    mode = here.settings.settled.mode
    return [
        Configured(account.name, account.section.provider, mode, account.limit, account.budget)
        for account in here.accounts.values()
    ]


ROUTES = [
    resource("/v1/accounts", get=accounts),
    resource("/v1/coverage", get=coverage),
]
