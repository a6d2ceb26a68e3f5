"""What every page shares: who may come in, the token of its forms, errors as pages."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from service.errors import Forbidden, Malformed, Refused, Unauthenticated, Unavailable
from service.runtime import Runtime, utc_now
from service.settings import Role
from service.storage.signed_out import is_ended
from service.storage.views.reading import Page
from service.web.api.query import Query, cursor_of
from service.web.console.forms import Form, read_form
from service.web.console.render import HEADERS, html, link
from service.web.console.session import Session, is_token_of, session_of
from service.web.problems import problem_of
from service.web.security import ROLES

COOKIE = "settled_session"
SIGN_IN = "/console/sign-in"
ROWS = 50

# What a page says above its content after an act, by the word in its address.
DONE = {
    "acknowledged": "Acknowledged.",
    "paused": "Paused. Nothing more goes out until somebody resumes it.",
    "read": "Read at the provider.",
    "replayed": "What the event names was read at the provider.",
    "resent": "On its way again.",
    "resumed": "Resumed. What waited drains, slowly at first.",
    "stopped": "Stopped. What is on its way arrives.",
    "waiting": "Asked for. The read has not finished yet; load this page again in a moment.",
}


@dataclass(frozen=True, slots=True)
class Visit:
    """One call of somebody who has signed in."""

    request: Request
    here: Runtime
    session: Session

    @property
    def who(self) -> str:
        """Return who acts, as it is written down."""
        return f"console:{self.session.key.name}"

    @property
    def may_act(self) -> bool:
        return _suffices(self.session.key.role, "operator")

    @property
    def may_see_bodies(self) -> bool:
        """Return whether what a provider sent is shown, redacted, and how the ERP answered."""
        return _suffices(self.session.key.role, "operator")

    @property
    def is_live(self) -> bool:
        return self.here.settings.settled.live

    def query(self, *names: str) -> Query:
        """Return the parameters of the address; a filter that was left empty is none.

        Raises Malformed for any other name than these, and cursor and done.
        """
        given = [pair for pair in self.request.query_params.multi_items() if pair[1].strip()]
        scope = {**self.request.scope, "query_string": urlencode(given).encode()}
        return Query(Request(scope), *names, "cursor", "done")

    def show(self, template: str, *, status_code: int = 200, **values: object) -> Response:
        """Return a page, with what the frame around each needs."""
        done = DONE.get(self.request.query_params.get("done", ""))
        path = self.request.url.path
        return html(
            template,
            status_code=status_code,
            visit=self,
            token=self.session.token,
            done=done,
            path=path,
            **values,
        )

    def next_page(self, page: Page, **filters: object) -> str | None:
        """Return where the next page of a list is, None on the last."""
        if page.after is None:
            return None
        return link(self.request.url.path, **filters, cursor=cursor_of(page.after))


Read = Callable[[Visit], Awaitable[Response]]
Act = Callable[[Visit, Form], Awaitable[Response]]


def read(path: str, show: Read, *, at_least: Role = "viewer") -> Route:
    """Return the route of a page, for whoever has signed in with a key of that role or a larger."""

    async def answer(visit: Visit) -> Response:
        _check_role(visit, at_least)
        await _check_goes_on(visit)
        return await show(visit)

    return _route(path, "GET", answer)


def act(path: str, do: Act) -> Route:
    """Return the route of a form: for an operator, from a page of ours, and on purpose."""

    async def answer(visit: Visit) -> Response:
        _check_role(visit, "operator")
        form = await read_form(visit.request)
        check_origin(visit.request)
        if not is_token_of(visit.session, "".join(form.all("token"))):
            raise Forbidden(
                "this form was not made for your session: load its page again, then send it",
                code="bad_form_token",
            )
        if visit.is_live and form.all("live") != ["yes"]:
            raise Malformed(
                "this installation is LIVE: tick the box that says so, then send the form",
                code="not_confirmed",
            )
        await _check_goes_on(visit)
        return await do(visit, form)

    return _route(path, "POST", answer)


def go(path: str, /, **parameters: object) -> Response:
    """Return the answer to a form that was carried out: look at the page with what came of it."""
    return RedirectResponse(link(path, **parameters), 303, HEADERS)


def check_origin(request: Request) -> None:
    """Raise Forbidden for what another site had a browser send. Other programs say no origin."""
    origin = request.headers.get("origin")
    if origin is None:
        return
    here: Runtime = request.state.runtime
    ours = {request.headers.get("host"), urlsplit(here.settings.settled.base_url or "").netloc}
    if urlsplit(origin).netloc not in ours - {None, ""}:
        raise Forbidden(
            "this form was sent from another site; if it was not, and a proxy stands before this"
            " service, set base_url in [settled] to the address that browsers use",
            code="bad_origin",
        )


def _route(path: str, method: str, answer: Read) -> Route:
    async def endpoint(request: Request) -> Response:
        here: Runtime = request.state.runtime
        keys = here.settings.settled.api_keys
        session = session_of(request.cookies.get(COOKIE), keys, now=utc_now())
        if session is None:
            return _to_sign_in(request)
        visit = Visit(request, here, session)
        try:
            return await answer(visit)
        except Unauthenticated:
            return _to_sign_in(request)
        except (Refused, Unavailable) as error:
            problem = problem_of(error)
            response = visit.show("error.html", status_code=problem.status_code, problem=problem)
            if problem.retry_after_seconds is not None:
                response.headers["retry-after"] = problem.headers["retry-after"]
            return response

    return Route(path, endpoint, methods=[method])


def _to_sign_in(request: Request) -> Response:
    """Return the way to the form, and back to where somebody wanted to go."""
    if "hx-request" in request.headers:
        return Response(status_code=200, headers={**HEADERS, "hx-redirect": SIGN_IN})
    wanted = request.url.path if request.method == "GET" else None
    if wanted and request.url.query:
        wanted += f"?{request.url.query}"
    return go(SIGN_IN, next=None if wanted == "/console" else wanted)


def _check_role(visit: Visit, at_least: Role) -> None:
    if not _suffices(visit.session.key.role, at_least):
        raise Forbidden(
            f'this takes the role "{at_least}"; the key "{visit.session.key.name}" has less'
        )


async def _check_goes_on(visit: Visit) -> None:
    """Raise Unauthenticated for a session that somebody signed out of. Asked last."""
    if await is_ended(visit.here.pool, visit.session.id):
        raise Unauthenticated("this session was signed out of")


def _suffices(role: Role, at_least: Role) -> bool:
    return ROLES.index(role) >= ROLES.index(at_least)
