"""Pages from templates: what is put into one is escaped, and what is missing is an error."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import Response

from service.storage.views.lanes import COUNTED_MAX
from service.storage.views.reading import Json

# Nothing but our own files, no script in a page, no other page around ours. Forms need a Referer
# of our own origin, or browsers would call their Origin null.
HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}

STATIC: Final = {
    "console.css": "text/css; charset=utf-8",
    "console.svg": "image/svg+xml",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "htmx.LICENSE.txt": "text/plain; charset=utf-8",
}
CONTENT: Final = {
    name: files("service.web").joinpath("static", name).read_bytes() for name in STATIC
}


def html(template: str, *, status_code: int = 200, **values: object) -> Response:
    """Return a page made of a template."""
    body = _ENVIRONMENT.get_template(template).render(values)
    return Response(body, status_code, HEADERS, media_type="text/html")


def link(path: str, /, **parameters: object) -> str:
    """Return a path with those parameters that are given, percent-encoded."""
    given = {name: _as_parameter(value) for name, value in parameters.items() if value}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def file_link(name: str) -> str:
    """Return where a file of ours is, with a mark of its content, so that it can be kept."""
    return link(f"/console/static/{name}", v=hashlib.sha256(CONTENT[name]).hexdigest()[:12])


def money(amount: Json | None) -> str:
    """Return an amount as a person reads it; a dash while it is unknown."""
    return f"{amount['decimal']} {amount['currency']}" if amount else "\N{EN DASH}"


def ago(time_text: str | None) -> str:
    """Return how long ago, or in how long, a time of ours is, in its largest unit."""
    if time_text is None:
        return "never"
    seconds = (datetime.now(UTC) - datetime.fromisoformat(time_text)).total_seconds()
    length = _length(abs(seconds))
    return f"{length} ago" if seconds >= 0 else f"in {length}"


def counted(number: int) -> str:
    """Return a count that ended at its bound as such."""
    return f"{COUNTED_MAX}+" if number >= COUNTED_MAX else str(number)


def words(name: str) -> str:
    """Return a name of ours as words: "set_aside" as "set aside"."""
    return name.replace("_", " ")


def size(number: float) -> str:
    """Return bytes in their largest unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _length(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


def _as_parameter(value: object) -> object:
    return "yes" if value is True else value


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("service.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "money": money, "ago": ago, "counted": counted, "words": words, "size": size,
    }  # fmt: skip
    environment.filters.update(filters)
    environment.globals.update(link=link, file_link=file_link)
    return environment


_ENVIRONMENT: Final = _environment()
