"""What a browser posts: small forms, each field checked by name."""

from urllib.parse import parse_qsl

from starlette.requests import Request

from service.errors import Malformed, TooLarge, Unsupported
from service.web.api.acts import REASON_CHARACTERS_MAX
from service.web.api.fields import is_printable

FORM_BYTES_MAX = 64 * 1024
FIELDS_MAX = 600  # a page of deliveries and what stands around them
MEDIA_TYPE = "application/x-www-form-urlencoded"


class Form:
    """The fields of a form; each message says what the person at it should do."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = fields

    def all(self, name: str) -> list[str]:
        """Return the values of every field of this name."""
        return [value for each, value in self._fields if each == name]

    def text(self, name: str, *, characters_max: int) -> str:
        """Return the one value of a field, of 1 to characters_max printable characters."""
        values = self.all(name)
        text = values[0].strip() if len(values) == 1 else ""
        if not is_printable(text, characters_max=characters_max):
            raise Malformed(
                f"{name}: expected 1 to {characters_max} printable characters", code="bad_field"
            )
        return text

    def optional_text(self, name: str, *, characters_max: int) -> str | None:
        """Return a value as `text` does, None for a field that is missing or left empty."""
        if not any(value.strip() for value in self.all(name)):
            return None
        return self.text(name, characters_max=characters_max)

    def reason(self) -> str:
        """Return why somebody acts, which every act of the console asks for."""
        return self.text("reason", characters_max=REASON_CHARACTERS_MAX)


async def read_form(request: Request) -> Form:
    """Return the form in a body. Raises TooLarge, Unsupported, Malformed."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != MEDIA_TYPE:
        raise Unsupported(f"expected Content-Type: {MEDIA_TYPE}", code="unsupported_media_type")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise TooLarge(f"a form has at most {FORM_BYTES_MAX} bytes")
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError:
        raise Malformed("expected the fields of a form", code="bad_form") from None
    return Form(fields)
