"""GoCardless's errors, in its envelope. Source: fact sheet gocardless, sections 9 to 11."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime
from uuid import uuid4

from starlette.responses import Response

from service.sandbox.ledger import Json
from service.sandbox.provider_http import ProviderError, json_answer

DOCUMENTATION = "https://developer.gocardless.com/api-reference#"


def refused(
    status: int,
    type_: str,
    reason: str,
    message: str,
    *,
    links: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProviderError:
    """Return an error with one reason. 429 comes without a request id, as in the sample."""
    entry: Json = {"reason": reason, "message": message}
    if links is not None:
        entry["links"] = links
    content = _envelope(status, type_, reason, message, entry)
    if status == 429:
        del content["request_id"]
    return ProviderError(json_answer({"error": content}, status, headers))


def bad_usage(status: int, reason: str, message: str) -> ProviderError:
    """Return an error of type invalid_api_usage."""
    return refused(status, "invalid_api_usage", reason, message)


def not_found() -> ProviderError:
    return bad_usage(404, "resource_not_found", "Resource not found")


def unauthorized(reason: str = "unauthorized", message: str = "Unauthorized") -> ProviderError:
    return bad_usage(401, reason, message)


def internal() -> ProviderError:
    return refused(500, "gocardless", "internal_server_error", "Internal server error")


def wrong_state(message: str, reason: str = "invalid_state") -> ProviderError:
    """Return 422; the reasons of billing requests' actions are not documented."""
    return refused(422, "invalid_state", reason, message)


def key_used(resource_id: str) -> ProviderError:
    """Return the answer to an Idempotency-Key that made resource_id before."""
    return refused(
        409,
        "invalid_state",
        "idempotent_creation_conflict",
        "Idempotency key already used",
        links={"conflicting_resource_id": resource_id},
    )


def invalid(field: str, message: str, pointer: str) -> ProviderError:
    """Return 422 about a field; pointer is its place in the request."""
    entry: Json = {"field": field, "message": message, "request_pointer": pointer}
    content = _envelope(422, "validation_failed", "validation_failed", "Validation failed", entry)
    return ProviderError(json_answer({"error": content}, 422))


def too_many(headers: Mapping[str, str]) -> ProviderError:
    return refused(
        429, "invalid_api_usage", "rate_limit_exceeded", "Rate limit exceeded", headers=headers
    )


def limit_headers(limit: int, remaining: int, reset_at: datetime) -> dict[str, str]:
    """Return the headers of every answer; the reset is an HTTP date, rounded up to seconds."""
    whole = reset_at.replace(microsecond=0)
    if whole < reset_at:
        whole += timedelta(seconds=1)
    return {
        "ratelimit-limit": str(limit),
        "ratelimit-remaining": str(remaining),
        "ratelimit-reset": format_datetime(whole, usegmt=True),
    }


def answer_with(answer: Response, headers: Mapping[str, str]) -> Response:
    """Add headers that the answer does not have yet."""
    for name, value in headers.items():
        answer.headers.setdefault(name, value)
    return answer


def _envelope(status: int, type_: str, anchor: str, message: str, entry: Json) -> Json:
    return {
        "message": message,
        "errors": [entry],
        "documentation_url": DOCUMENTATION + anchor,
        "type": type_,
        "code": status,
        "request_id": str(uuid4()),
    }
