"""What one endpoint is sent of a notification: its body, alone or with what never arrived there.

A pure function of what is stored, so that every try of a delivery sends the same bytes. The
signature is made over these bytes. Source: CONTRACT.md, section 5; CloudEvents 1.0.2, JSON format.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from service.domain.notification import serialised

Form = Literal["settled", "cloudevents"]

CONTENT_TYPES: Final[Mapping[Form, str]] = {
    "settled": "application/json",
    "cloudevents": "application/cloudevents+json",
}

# Who speaks, as a URI reference; the account follows where a message is about one.
SOURCE: Final = "/settled"


def body_for(
    form: Form, body: bytes, *, dead: Sequence[int] = (), superseded: Sequence[int] = ()
) -> bytes:
    """Return the bytes that an endpoint of this form gets for a stored body.

    dead and superseded are earlier sequences of the same request or order that this endpoint
    never got; they are listed in `data` where there are any.
    """
    if form == "settled" and not dead and not superseded:
        return body
    message = json.loads(body)
    missing = {"dead": dead, "superseded": superseded}
    message["data"] |= {word: list(listed) for word, listed in missing.items() if listed}
    return serialised(_cloud_event(message) if form == "cloudevents" else message)


def _cloud_event(message: Mapping[str, Any]) -> dict[str, object]:
    """Return a message as a CloudEvent in structured mode; nothing of it is left out."""
    data = message["data"]
    account = data.get("account")
    event = {
        "specversion": "1.0",
        "id": message["id"],
        "source": f"{SOURCE}/{account}" if account else SOURCE,
        "type": message["type"],
        "subject": data.get("request_id") or data.get("order_id"),
        "time": message["timestamp"],
        "datacontenttype": "application/json",
        "schema": message["schema"],
        "data": data,
    }
    return {name: value for name, value in event.items() if value is not None}
