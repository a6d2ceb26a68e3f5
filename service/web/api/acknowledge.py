"""POST .../acknowledge: a person has seen to an attention code."""

from starlette.requests import Request

from service.flow.acknowledge import Acknowledgement
from service.runtime import utc_now
from service.web.api.fields import body_fields

CODE_CHARACTERS_MAX = 64
REASON_CHARACTERS_MAX = 200


def acknowledgement_in(request: Request, body: bytes) -> Acknowledgement:
    """Return what the caller has seen to, and why. Raises Malformed."""
    fields = body_fields(body)
    code = fields.text("code", characters_max=CODE_CHARACTERS_MAX)
    reason = fields.text("reason", characters_max=REASON_CHARACTERS_MAX)
    fields.end()
    return Acknowledgement(code, reason, who_in(request), utc_now())


def who_in(request: Request) -> str:
    """Return who acts, as it is written down."""
    return f"api:{request.user.name}"
