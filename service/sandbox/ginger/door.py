"""Who is let in at Ginger, and how it refuses. Source: fact sheet ginger, sections 2 and 14."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from service.sandbox.faults import ReadFault
from service.sandbox.ginger.account import GingerAccount
from service.sandbox.provider_http import ProviderError, json_answer
from service.sandbox.world import world_of


def account_of(request: Request) -> GingerAccount:
    """Return the account whose key this is. Raises ProviderError."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    account = world_of(request).admit("ginger", credentials)
    if account is None or scheme.lower() != "basic":
        raise ProviderError(_refusal_of_key())
    assert isinstance(account, GingerAccount)
    return account


def refusal(account: GingerAccount, fault: ReadFault) -> Response:
    """Return the answer for a fault that ends a read."""
    match fault:
        case ReadFault.TOO_MANY:
            wait = {"retry-after": str(account.settings.faults.retry_after_seconds)}
            return _error(429, "TooManyRequests", "Slow down", headers=wait)
        case ReadFault.UNAUTHORISED:
            return _refusal_of_key()
        case ReadFault.NOT_FOUND:
            return _not_found()
        case _:
            return _error(500, "InternalServerError", "Request could not be served")


def bad(value: str, path: str = "") -> ProviderError:
    """Return a 400 that names what is wrong in a call."""
    error = _error(400, "BadRequest", value, property_path=path, property_description=path)
    return ProviderError(error)


def not_found() -> ProviderError:
    return ProviderError(_not_found())


def outdated() -> ProviderError:
    """Return the answer to an If-Match of another version. Source: section 10, assumed."""
    value = "A newer version of the order exists"
    return ProviderError(_error(412, "PreconditionFailed", value))


def _refusal_of_key() -> Response:
    # The documented 401 carries no status.
    error = {
        "type": "<class 'werkzeug.exceptions.Unauthorized'>",
        "value": "API key missing or not accepted",
    }
    return json_answer({"error": error}, 401)


def _not_found() -> Response:
    return _error(404, "NotFound", "No order with this identifier")


def _error(
    status: int, type_: str, value: str, *, headers: Mapping[str, str] | None = None, **more: str
) -> Response:
    """Return an error in the documented envelope. Source: fact sheet ginger, section 14."""
    error = {"status": status, "type": type_, "value": value, **more}
    return json_answer({"error": error}, status, headers)
