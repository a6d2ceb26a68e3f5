"""/console: what needs attention first, then the last day, and how far behind the work is."""

from starlette.responses import Response

from service.storage.views.needs import read_needs
from service.web.console.drawn import charts_of_all
from service.web.console.page import Visit, read


async def overview(visit: Visit) -> Response:
    visit.query()
    return visit.show(
        "overview.html",
        needs=await read_needs(visit.here.pool),
        charts=await charts_of_all(visit.here.pool),
    )


ROUTES = [read("/console", overview)]
