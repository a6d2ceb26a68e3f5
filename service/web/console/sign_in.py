"""/console/sign-in and /console/sign-out: from an API key to a session, and back."""

import re
import time
from ipaddress import ip_address

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.errors import Malformed, Refused, Unauthenticated, Unavailable
from service.runtime import Runtime, utc_now
from service.storage.signed_out import end_session
from service.web.console.failures import Failures
from service.web.console.forms import read_form
from service.web.console.page import COOKIE, SIGN_IN, check_origin, go
from service.web.console.render import html
from service.web.console.session import LASTS, is_token_of, new_cookie, session_of
from service.web.security import identify
from service.web.webhooks import source_of

log = structlog.get_logger()

KEY_CHARACTERS_MAX = 500

# Where a sign-in may lead on to: one of our own pages, and nothing that a browser reads as a host.
_OURS = re.compile(r"/console(/[A-Za-z0-9_/-]*)?(\?[!-~]*)?", re.ASCII)


def routes() -> list[Route]:
    """Return the routes of one application, which count the failures of its callers together."""
    failures = Failures()

    async def sign_in(request: Request) -> Response:
        if request.method == "POST":
            return await _enter(request, failures)
        return _form(request, onward=request.query_params.get("next", ""))

    return [
        Route(SIGN_IN, sign_in, methods=["GET", "POST"]),
        Route("/console/sign-out", sign_out, methods=["POST"]),
    ]


async def _enter(request: Request, failures: Failures) -> Response:
    """Begin a session for whoever presents a key, and lead on to where they wanted to go."""
    here: Runtime = request.state.runtime
    source = _source_of(request, here)
    wait_seconds = failures.wait_seconds(source, now=time.monotonic())
    if wait_seconds:
        wrong = f"Too many wrong keys: try again in {wait_seconds} s."
        response = _form(request, wrong=wrong, status_code=429)
        response.headers["retry-after"] = str(wait_seconds)
        return response
    onward = ""
    try:
        check_origin(request)
        form = await read_form(request)
        onward = "".join(form.all("next")[:1])
        presented = form.text("key", characters_max=KEY_CHARACTERS_MAX)
        key = identify(f"Bearer {presented}", here.settings.settled.api_keys)
    except (Unauthenticated, Malformed):
        failures.note(source, now=time.monotonic())
        log.warning("sign_in.refused", source=source)
        return _form(request, onward=onward, wrong="No such key.", status_code=401)
    except Refused as error:
        return _form(request, onward=onward, wrong=error.detail, status_code=error.status_code)
    log.info("console.entered", key=key.name, role=key.role)
    response = go(onward if _OURS.fullmatch(onward) else "/console")
    response.set_cookie(
        COOKIE,
        new_cookie(key, now=utc_now()),
        max_age=int(LASTS.total_seconds()),
        path="/console",
        secure=not _is_plain_here(request),
        httponly=True,
        samesite="strict",
    )
    return response


async def sign_out(request: Request) -> Response:
    """End the session, wherever else its cookie may be; without the database, in this browser.

    Raises Forbidden for what another site had the browser send.
    """
    check_origin(request)
    here: Runtime = request.state.runtime
    keys = here.settings.settled.api_keys
    session = session_of(request.cookies.get(COOKIE), keys, now=utc_now())
    response = go(SIGN_IN)
    if session is not None:
        form = await read_form(request)
        if not is_token_of(session, "".join(form.all("token"))):
            return go("/console")
        try:
            await end_session(here.pool, session.id, ends_at=session.ends_at)
        except Unavailable:
            wrong = "This browser has forgotten its session, which ends by itself within 12 hours:"
            wrong += " the database is away."
            response = _form(request, wrong=wrong, status_code=503)
    response.delete_cookie(
        COOKIE, path="/console", secure=not _is_plain_here(request), httponly=True,
        samesite="strict",
    )  # fmt: skip
    return response


def _form(
    request: Request, *, onward: str = "", wrong: str | None = None, status_code: int = 200
) -> Response:
    here: Runtime = request.state.runtime
    return html(
        "sign_in.html",
        status_code=status_code,
        is_live=here.settings.settled.live,
        is_exposed=not _is_https(here) and not _is_loopback(request),
        onward=onward if _OURS.fullmatch(onward) else "",
        wrong=wrong,
    )


def _is_plain_here(request: Request) -> bool:
    """Return whether the cookie may go over plain http: on this machine, where nobody listens."""
    here: Runtime = request.state.runtime
    return not _is_https(here) and _is_loopback(request)


def _is_https(here: Runtime) -> bool:
    return (here.settings.settled.base_url or "").startswith("https://")


def _is_loopback(request: Request) -> bool:
    host = request.url.hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _source_of(request: Request, here: Runtime) -> str:
    return (
        source_of(
            request.scope, dict(request.headers.items()), here.settings.settled.trusted_proxies
        )
        or "unknown"
    )
