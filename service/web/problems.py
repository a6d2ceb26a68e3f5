"""Every error answer, in one form: RFC 9457 problem details with a code of ours."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Send

from service.errors import Gone, Refused, Unavailable

MEDIA_TYPE = "application/problem+json"

# Source of 498: fact sheet gocardless, "Webhooks".
_TITLES = {status.value: status.phrase for status in HTTPStatus} | {498: "Token Invalid"}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error answer. code is for programs, detail for people; neither repeats what was sent.

    oldest is the cursor to begin with again, where the one that was sent is no longer kept.
    """

    status_code: int
    code: str
    detail: str
    retry_after_seconds: float | None = None
    allow: str | None = None
    oldest: str | None = None

    @property
    def title(self) -> str:
        return _TITLES.get(self.status_code, "Error")

    @property
    def body(self) -> bytes:
        told = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status_code,
            "detail": self.detail,
            "code": self.code,
        }
        if self.oldest is not None:
            told["oldest"] = self.oldest
        return json.dumps(told).encode()

    @property
    def headers(self) -> dict[str, str]:
        headers = {"content-type": MEDIA_TYPE}
        if self.retry_after_seconds is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.retry_after_seconds)))
        if self.allow is not None:
            headers["allow"] = self.allow
        return headers


BUG = Problem(500, "internal_error", "this is our fault")


def problem_of(error: Refused | Unavailable) -> Problem:
    """Return the answer to an error that we raised on purpose; Unavailable is 503."""
    if isinstance(error, Unavailable):
        retry_after = error.retry_after_seconds
        return Problem(
            503, "unavailable", error.detail, 1.0 if retry_after is None else retry_after
        )
    oldest = error.oldest if isinstance(error, Gone) else None
    return Problem(error.status_code, error.code, error.detail, oldest=oldest)


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return problem as a Starlette response, with headers besides its own."""
    return Response(problem.body, problem.status_code, {**problem.headers, **(headers or {})})


async def send_problem(send: Send, problem: Problem, *, close: bool = False) -> None:
    """Send problem over ASGI; close ends the connection, for where the body was not read."""
    body = problem.body
    headers = {**problem.headers, "content-length": str(len(body))}
    if close:
        headers["connection"] = "close"
    await send(
        {
            "type": "http.response.start",
            "status": problem.status_code,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
