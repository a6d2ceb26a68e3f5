"""What the schemas are put together from."""

from collections.abc import Iterable
from typing import Any, Final

Schema = dict[str, Any]


def one_of(words: Iterable[str]) -> Schema:
    """Return the schema of a text that is one of words."""
    return {"type": "string", "enum": [str(word) for word in words]}


def nullable(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def ref(name: str) -> Schema:
    """Return a reference to an object of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def thing(required: Schema, optional: Schema | None = None) -> Schema:
    """Return the schema of an object of ours; fields may be added to it later."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


def given(required: Schema, optional: Schema | None = None) -> Schema:
    """Return the schema of an object that a caller sends: nothing else may stand in it."""
    return thing(required, optional) | {"additionalProperties": False}


TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
NUMBER: Final[Schema] = {"type": "number", "minimum": 0}
YES_OR_NO: Final[Schema] = {"type": "boolean"}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
SHA256: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
REFERENCE: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": 200}
REASON: Final[Schema] = REFERENCE
PROVIDER_ID: Final[Schema] = REFERENCE
ANYTHING: Final[Schema] = {"type": "object", "additionalProperties": True}

AMOUNTS: Final[Schema] = {
    name: nullable(ref("Money"))
    for name in ("amount", "received", "refunded", "taken_back", "booked")
}
