"""Who may come in to GoCardless's API, how often, and what is asked of a list."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from service.sandbox.faults import ReadFault
from service.sandbox.gocardless.account import GoCardlessAccount
from service.sandbox.gocardless.errors import (
    answer_with,
    bad_usage,
    internal,
    invalid,
    limit_headers,
    not_found,
    too_many,
    unauthorized,
)
from service.sandbox.gocardless.shelf import Stretch, whole_milliseconds
from service.sandbox.ledger import Entry, PaymentRequest
from service.sandbox.provider_http import ProviderError, strike
from service.sandbox.world import World, world_of

VERSION = "2015-07-06"
LIMIT_MAX = 500
MILLISECOND = timedelta(milliseconds=1)
COMPARISONS = ("gt", "gte", "lt", "lte")


@dataclass(frozen=True, slots=True)
class Visit:
    """A call that was let in. fault distorts what it sees, if anything does."""

    request: Request
    account: GoCardlessAccount
    world: World
    fault: ReadFault | None

    @property
    def now(self) -> datetime:
        return self.world.now()

    @property
    def seen_at(self) -> datetime:
        """The moment whose picture is shown: now, or earlier where a fault makes it stale."""
        if self.fault is not ReadFault.STALE:
            return self.now
        return self.now - timedelta(milliseconds=self.account.settings.faults.stale_ms)

    def entries(self, request: PaymentRequest) -> Sequence[Entry]:
        """Return what this call sees of a request."""
        if self.fault is not ReadFault.STALE:
            return request.seen_at(self.now)
        return request.entries_until(self.seen_at)


Serve = Callable[[Visit], Awaitable[Response]]


def door(serve: Serve, kind: str = "") -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a page; kind is that of a read, which counts and may suffer faults.

    Every answer to a known token says how many calls are left. Source: fact sheet, section 9.
    """

    async def endpoint(request: Request) -> Response:
        world = world_of(request)
        account = _admitted(request, world)
        is_left = account.limit.take()
        headers = _limit_headers(account, world.now())
        try:
            if not is_left:
                raise too_many(headers)
            _check_version(request)
            fault = await strike(account, kind, _refusals(account, world)) if kind else None
            answer = await serve(Visit(request, account, world, fault))
        except ProviderError as error:
            answer_with(error.answer, headers)
            raise
        return answer_with(answer, headers)

    return endpoint


def stretch_of(request: Request, filters: Sequence[str]) -> Stretch:
    """Return what part of a list is asked for. Raises ProviderError for what is not understood.

    filters are the parameters that this list takes beside its cursors; others are refused, so that
    nobody takes a whole list for a narrowed one.
    """
    known = {"limit", "after", "before", *filters}
    for name in request.query_params:
        if name not in known:
            raise bad_usage(400, "bad_request", f"{name} is no parameter of this list")
    since, until = _times(request, filters)
    return Stretch(
        limit=_limit(request),
        after=request.query_params.get("after"),
        before=request.query_params.get("before"),
        since=since,
        until=until,
    )


def comparisons(field: str) -> list[str]:
    """Return the parameters that compare a time: created_at[gt] and so on."""
    return [f"{field}[{comparison}]" for comparison in COMPARISONS]


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", "50")
    if not re.fullmatch("[0-9]{1,3}", text) or not 1 <= int(text) <= LIMIT_MAX:
        raise invalid("limit", f"must be between 1 and {LIMIT_MAX}", "/limit")
    return int(text)


def _times(request: Request, filters: Sequence[str]) -> tuple[datetime | None, datetime | None]:
    """Return the bounds on created_at, the first inclusive; times are shown in milliseconds."""
    sinces, untils = [], []
    for name in filters:
        if name not in request.query_params or not name.startswith("created_at["):
            continue
        moment, following = _moment(request, name)
        shown = following - MILLISECOND
        match name.removeprefix("created_at[").removesuffix("]"):
            case "gt":
                sinces.append(following)
            case "gte":
                sinces.append(shown if shown == moment else following)
            case "lt":
                untils.append(shown if shown == moment else following)
            case _:
                untils.append(following)
    return max(sinces, default=None), min(untils, default=None)


def _moment(request: Request, name: str) -> tuple[datetime, datetime]:
    """Return a time of the query, and the next whole millisecond after it."""
    try:
        moment = datetime.fromisoformat(request.query_params[name])
        following = whole_milliseconds(moment) + MILLISECOND
    except (ValueError, OverflowError) as error:
        raise invalid("created_at", "is not a date-time", f"/{name}") from error
    if moment.tzinfo is None:
        raise invalid("created_at", "has no offset from UTC", f"/{name}")
    return moment, following


def _admitted(request: Request, world: World) -> GoCardlessAccount:
    header = request.headers.get("authorization")
    if header is None:
        raise unauthorized("missing_authorization_header", "No authorization header")
    scheme, _, token = header.partition(" ")
    account = world.admit("gocardless", token)
    if account is None or scheme.lower() != "bearer":
        raise unauthorized()
    assert isinstance(account, GoCardlessAccount)
    return account


def _check_version(request: Request) -> None:
    """Check the headers that every call needs. Source: fact sheet, section 1."""
    version = request.headers.get("gocardless-version")
    if version is None:
        raise bad_usage(400, "missing_version_header", "No GoCardless-Version header")
    if version != VERSION:
        raise bad_usage(400, "version_not_found", "Version not found")


def _limit_headers(account: GoCardlessAccount, now: datetime) -> dict[str, str]:
    limit = account.limit
    reset_at = now + timedelta(seconds=limit.reset_seconds)
    return limit_headers(limit.calls, limit.remaining, reset_at)


def _refusals(account: GoCardlessAccount, world: World) -> Callable[[ReadFault], Response]:
    def refusal(fault: ReadFault) -> Response:
        match fault:
            case ReadFault.TOO_MANY:
                wait = timedelta(seconds=account.settings.faults.retry_after_seconds)
                return too_many(limit_headers(account.limit.calls, 0, world.now() + wait)).answer
            case ReadFault.UNAUTHORISED:
                return unauthorized("access_token_revoked", "Access token revoked").answer
            case ReadFault.NOT_FOUND:
                return not_found().answer
            case _:
                return internal().answer

    return refusal
