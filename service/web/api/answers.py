"""JSON answers."""

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from service.storage.views.reading import Json, Page
from service.web.api.query import cursor_of

_ENCODER = msgspec.json.Encoder()


def json_response(
    content: object, *, status_code: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return content as JSON."""
    return Response(_ENCODER.encode(content), status_code, headers, media_type="application/json")


def page_response(page: Page) -> Response:
    """Return one page of a list; next is the cursor of the one behind it, null on the last."""
    following = cursor_of(page.after) if page.after else None
    return json_response({"data": page.items, "next": following})


def list_response(items: list[Json], *, status_code: int = 200) -> Response:
    """Return a list that always fits one page."""
    return json_response({"data": items, "next": None}, status_code=status_code)
