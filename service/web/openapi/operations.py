"""Operations of the document: what every GET, POST and PATCH of ours has in common."""

from typing import Final

from service.web.api.query import LIMIT_DEFAULT, LIMIT_MAX
from service.web.openapi.shapes import TEXT, TIME, Schema, array, nullable, ref

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"

LIMIT: Final[Schema] = {
    "type": "integer",
    "minimum": 1,
    "maximum": LIMIT_MAX,
    "default": LIMIT_DEFAULT,
}
FILTER: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 200}
IDEMPOTENCY_KEY: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 255}
IF_MATCH: Final[Schema] = TEXT | {"description": "The ETag that was read, or *."}
PAGE: Final[dict[str, Schema]] = {"limit": LIMIT, "cursor": TEXT}
PAST: Final[dict[str, Schema]] = {"at": TIME, "as_of": TIME}

REFUSALS: Final = {
    "400": "Malformed; detail names the parameter, header or field",
    "401": "No key, or none of ours",
    "403": "The key's role is too small",
    "503": "Something we need is away; come again after Retry-After",
}
REFUSALS_OF_POST: Final = {
    "409": "Contradicts what is recorded, or the same call is in progress",
    "413": "More than 256 KiB",
    "415": "Not JSON, or encoded",
    "422": "This Idempotency-Key was used for another call",
}
REFUSALS_OF_PATCH: Final = {
    "409": "Nobody registered the order, or there is money on it in the currency that it has",
    "412": "If-Match names an older version: read the order again",
    "413": REFUSALS_OF_POST["413"],
    "415": REFUSALS_OF_POST["415"],
    "428": "Without If-Match",
}
NOT_FOUND: Final = {"404": "No such thing"}
GONE: Final = {"410": "Changes behind this cursor are no longer kept; begin again with `oldest`"}


def get(
    summary: str,
    answer: Schema,
    query: dict[str, Schema],
    *,
    in_path: str = "",
    refusals: dict[str, str] | None = None,
) -> Schema:
    """Return a GET; refusals are those besides the usual ones."""
    all_refusals = REFUSALS | (NOT_FOUND if in_path else {}) | (refusals or {})
    return {
        "summary": summary,
        "parameters": [*_in_path(in_path), *parameters_in("query", query)],
        "responses": {"200": _answer("Fine", answer), **_problems(all_refusals)},
    }


def page_of(summary: str, name: str, query: dict[str, Schema], *, in_path: str = "") -> Schema:
    """Return a GET that answers a page of things."""
    page = {
        "type": "object",
        "required": ["data", "next"],
        "properties": {"data": array(ref(name)), "next": nullable(TEXT)},
    }
    return get(summary, page, query, in_path=in_path)


def post(
    summary: str,
    answers: dict[str, str],
    name: str,
    *,
    body: str = "",
    query: dict[str, Schema] | None = None,
    in_path: str = "",
    headers: dict[str, Schema] | None = None,
) -> Schema:
    refusals = REFUSALS | REFUSALS_OF_POST | (NOT_FOUND if in_path else {})
    parameters = [
        *_in_path(in_path),
        *parameters_in("query", query or {}),
        *parameters_in("header", {"Idempotency-Key": IDEMPOTENCY_KEY, **(headers or {})}),
    ]
    operation: Schema = {
        "summary": summary,
        "parameters": parameters,
        "responses": {
            **{status: _answer(text, ref(name)) for status, text in answers.items()},
            **_problems(refusals),
        },
    }
    if body:
        operation["requestBody"] = {
            "required": body != "Reason",
            "content": {JSON: {"schema": ref(body)}},
        }
    return operation


def patch_of_order() -> Schema:
    """Return the PATCH of an order: it names the version that the caller has read."""
    if_match = parameters_in("header", {"If-Match": IF_MATCH})
    return {
        "summary": "Change what is expected of it: a credit note, a withdrawal, other metadata",
        "parameters": [*_in_path("reference"), *(one | {"required": True} for one in if_match)],
        "requestBody": {"required": True, "content": {JSON: {"schema": ref("OrderAmendment")}}},
        "responses": {
            "200": _answer("As it is now; nothing is told where nothing changed", ref("Order")),
            **_problems(REFUSALS | NOT_FOUND | REFUSALS_OF_PATCH),
        },
    }


def open_to_all(summary: str, content: str, schema: Schema, *, refusals: dict[str, str]) -> Schema:
    """Return a GET that takes no key."""
    fine = {"description": "Fine", "content": {content: {"schema": schema}}}
    return {
        "summary": summary,
        "security": [],
        "responses": {"200": fine, **_problems(refusals)},
    }


def parameters_in(place: str, schemas: dict[str, Schema]) -> list[Schema]:
    return [{"name": name, "in": place, "schema": schema} for name, schema in schemas.items()]


def _in_path(name: str) -> list[Schema]:
    return [{"name": name, "in": "path", "required": True, "schema": TEXT}] if name else []


def _answer(text: str, schema: Schema) -> Schema:
    return {"description": text, "content": {JSON: {"schema": schema}}}


def wait(default: int, most: int) -> Schema:
    return {"type": "integer", "minimum": 0, "maximum": most, "default": default}


def _problems(refusals: dict[str, str]) -> Schema:
    content = {PROBLEM: {"schema": ref("Problem")}}
    return {status: {"description": text, "content": content} for status, text in refusals.items()}
