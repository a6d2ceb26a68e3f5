"""/openapi.json: the document of these routes, OpenAPI 3.1, built by hand from the contract.

One file per group of nouns; a test holds the document against the routes.
"""

from functools import cache
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.web.openapi.bodies import BODIES
from service.web.openapi.ledger import LEDGER
from service.web.openapi.looking import LOOKING
from service.web.openapi.news import NEWS, NOTIFICATION
from service.web.openapi.operations import JSON
from service.web.openapi.outbox import OUTBOX
from service.web.openapi.paths import PATHS


async def openapi(_request: Request) -> Response:
    """Answer the document."""
    return Response(_encoded(), media_type=JSON)


@cache
def _encoded() -> bytes:
    return msgspec.json.encode(document())


def document() -> dict[str, Any]:
    """Return the whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "settled",
            "version": "1",
            "description": "Reads the truth from payment providers and tells the ERP.",
        },
        "security": [{"key": []}],
        "paths": PATHS,
        "webhooks": {"notification": {"post": NOTIFICATION}},
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {**LEDGER, **OUTBOX, **LOOKING, **BODIES, **NEWS},
        },
    }


ROUTES: Final = [Route("/openapi.json", openapi)]
