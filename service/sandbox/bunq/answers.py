"""How bunq answers: its envelope, its errors, its pages. Source: fact sheet bunq, 1, 6 and 8."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.sandbox.bunq.callbacks import encoded
from service.sandbox.ledger import Json
from service.sandbox.provider_http import ProviderError, json_answer

COUNT_DEFAULT = 10
COUNT_MAX = 200

UNAUTHORISED = "Insufficient authentication."
FORBIDDEN = "You are not allowed to do this."
NOT_FOUND = "Route or object not found."
NOT_ALLOWED = "Method not allowed."
USED_BEFORE = "The request id has been used before."
UNSIGNED = "Signature missing."
BROKEN = "Something went wrong."

T = TypeVar("T")


def answer(things: Iterable[Json], pagination: Json | None = None) -> Response:
    """Return things, each wrapped in its type name, as a good answer."""
    content: Json = {"Response": list(things)}
    if pagination is not None:
        content["Pagination"] = pagination
    return json_answer(encoded(content))


def answer_id(identifier: int) -> Response:
    return answer([{"Id": {"id": identifier}}])


def error(status_code: int, text: str) -> Response:
    described = {"error_description": text, "error_description_translated": text}
    return json_answer(encoded({"Error": [described]}), status_code)


def refused(status_code: int, text: str) -> ProviderError:
    return ProviderError(error(status_code, text))


def decoded(body: bytes, shape: type[T]) -> T:
    """Return a body of this shape. Raises ProviderError 400."""
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.DecodeError as failure:
        raise refused(400, str(failure)) from failure


def page_of(
    request: Request, oldest_first: Sequence[T], id_of: Callable[[T], int]
) -> tuple[list[T], Json]:
    """Return the page that a call asks for, newest first, and its links.

    Without older_id or newer_id it is the newest page. Raises ProviderError 400.
    """
    count = _number(request, "count", COUNT_DEFAULT)
    older_id, newer_id = _number(request, "older_id"), _number(request, "newer_id")
    if not 1 <= count <= COUNT_MAX:
        raise refused(400, f"count must be between 1 and {COUNT_MAX}.")
    if older_id and newer_id:
        raise refused(400, "older_id and newer_id exclude each other.")
    if newer_id:
        first = bisect_right(oldest_first, newer_id, key=id_of)
        end = min(first + count, len(oldest_first))
    else:
        end = len(oldest_first)
        if older_id:
            end = bisect_left(oldest_first, older_id, key=id_of)
        first = max(0, end - count)
    page = oldest_first[first:end][::-1]
    links: Json = {"future_url": None, "newer_url": None, "older_url": None}
    if page:
        newer = "future_url" if end == len(oldest_first) else "newer_url"
        links[newer] = _link(request, count, "newer_id", id_of(page[0]))
        if first:
            links["older_url"] = _link(request, count, "older_id", id_of(page[-1]))
    return list(page), links


def _link(request: Request, count: int, which: str, identifier: int) -> str:
    return f"{request.url.path}?count={count}&{which}={identifier}"


def _number(request: Request, name: str, otherwise: int = 0) -> int:
    text = request.query_params.get(name)
    if text is None:
        return otherwise
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise refused(400, f"{name} must be a number.")
    return int(text)
