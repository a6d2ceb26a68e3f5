"""Versions: the ETag of a thing, and the If-Match of whoever changes it. RFC 9110, 13.1.1."""

import re

from starlette.requests import Request

from service.errors import Malformed, Refused

_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,40}"', re.ASCII)
_VERSION = re.compile(r'"([0-9]{1,18})"', re.ASCII)


def etag(version: int) -> dict[str, str]:
    """Return the header that names a version."""
    return {"etag": f'"{version}"'}


def versions_in(request: Request, *, required: bool) -> frozenset[int] | None:
    """Return the versions that If-Match names, None for any of them.

    A tag that is none of ours matches nothing. Raises Malformed; and, without the header, Refused
    with 428 where it is required.
    """
    given = request.headers.getlist("if-match")
    if not given and required:
        raise Refused(
            "expected the header If-Match: the ETag of what you read, or * for whatever is there",
            code="precondition_required",
            status_code=428,
        )
    text = ", ".join(given).strip()
    if not given or text == "*":
        return None
    tags = [tag.strip() for tag in text.split(",")]
    if not all(_TAG.fullmatch(tag) for tag in tags):
        raise Malformed('If-Match: expected an ETag such as "7", or *', code="bad_header")
    return frozenset(int(found[1]) for tag in tags if (found := _VERSION.fullmatch(tag)))
