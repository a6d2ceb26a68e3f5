"""What the calls by which a person acts share: who acts, why, and for how long they wait."""

from starlette.requests import Request

from service.web.api.fields import Fields, body_fields

REASON_CHARACTERS_MAX = 200


def who_in(request: Request) -> str:
    """Return who acts, as it is written down."""
    return f"api:{request.user.name}"


def reason_in(body: bytes) -> str | None:
    """Return the reason that a body gives; it may be empty, and holds nothing else."""
    fields = body_fields(body or b"{}")
    reason = take_reason(fields)
    fields.end()
    return reason


def take_reason(fields: Fields) -> str | None:
    return fields.optional_text("reason", characters_max=REASON_CHARACTERS_MAX)
