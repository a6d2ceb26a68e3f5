"""What a call names. It has no id, no time of sending, and its event type proves nothing.

Source: fact sheet bunq, section 4.
"""

from typing import Final

from service.domain.event import Event, EventVerdict
from service.domain.request import Kind
from service.domain.status import words_of
from service.domain.strict_json import NotStrict, parse
from service.errors import Malformed

WORDS: Final = words_of("bunq", "request_inquiry")
# An id that is to be read has the digits that knows() allows.
ID_MAX = 10**18 - 1


def event_in(body: bytes, monetary_account_id: int) -> Event:
    """Return the event in a call: which of the account's request inquiries to read, if any.

    A RequestResponse is somebody asking us to pay. A Payment may be a refund, but whose it is
    only the reads of accepted requests can tell. Raises Malformed.
    """
    name, thing = _object_in(body)
    if name == "RequestResponse":
        return _set_aside("opposite_direction")
    if name != "RequestInquiry":
        return _set_aside("unneeded_object")
    inquiry_id = _id_in(thing, "id")
    if _id_in(thing, "monetary_account_id") != monetary_account_id:
        return _set_aside("foreign_account")
    word = thing.get("status")
    claims = WORDS.get(word) if isinstance(word, str) else None
    return Event(Kind.REQUEST_INQUIRY, str(inquiry_id), claims=claims)


def _object_in(body: bytes) -> tuple[str, dict[str, object]]:
    """Return the one object in a call and the name of its type."""
    try:
        call = parse(body)
    except NotStrict as error:
        raise Malformed(str(error)) from error
    envelope = call.get("NotificationUrl") if isinstance(call, dict) else None
    if not isinstance(envelope, dict):
        raise Malformed("expected an object in NotificationUrl")
    for key in ("category", "event_type"):
        if not isinstance(envelope.get(key, ""), str):
            raise Malformed(f"expected text in {key}")
    wrapped = envelope.get("object")
    if not isinstance(wrapped, dict) or len(wrapped) != 1:
        raise Malformed("expected one type's name in object")
    ((name, thing),) = wrapped.items()
    if not isinstance(thing, dict):
        raise Malformed("expected an object under its type's name")
    return name, thing


def _id_in(thing: dict[str, object], key: str) -> int:
    value = thing.get(key)
    if type(value) is not int or not 0 < value <= ID_MAX:
        raise Malformed(f"expected an id in {key}")
    return value


def _set_aside(reason: str) -> Event:
    return Event(None, None, verdict=EventVerdict.SET_ASIDE, reason=reason)
