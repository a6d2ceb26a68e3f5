"""What of a body may be shown: an allow-list of fields, everything else becomes a mark.

Kept are ids, statuses, amounts, currencies, times and the names of fields, each only under a name
that stands here and only in the shape of its sort. A name, an IBAN, an address or a text of a
merchant's own has neither, and a field that a provider adds tomorrow is hidden until it is listed.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Final

from service.domain.strict_json import NotStrict, parse

MARK: Final = "…"

# No webhook may be larger: GoCardless's batches. Source: CONTRACT.md, section 4.
BYTES_MAX: Final = 1_048_576
LINES_MAX: Final = 400
CALLS_MAX: Final = 40

_ID: Final = re.compile(r"(?=.*[0-9])[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_.-]{0,47}[0-9]{0,3}|[0-9]{3}", re.ASCII)
_AMOUNT: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,6})?", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?",
    re.ASCII,
)

# The names of fields in small letters, without what joins their words.
_SHAPES: Final = {
    **dict.fromkeys(
        [
            "id", "uuid", "eventid", "orderid", "paymentid", "requestid", "notificationid",
            "providerid", "transactionid", "objectid", "projectid", "merchantid", "webhookid",
            "paymentlinkid", "relatedpaymentlinkid", "completedorderid", "refundoforderid",
            "refundorders", "billingrequest", "billingrequestflow", "payment", "paymentrequest",
            "paymentrequestpayment", "mandate", "mandaterequest", "mandaterequestmandate",
            "payout", "batchid", "monetaryaccountid", "requestreferenceid",
        ],
        _ID,
    ),
    **dict.fromkeys(
        [
            "status", "state", "type", "subtype", "substatus", "event", "eventtype", "category",
            "action", "cause", "code", "reasoncode", "origin", "scheme", "severity", "kind",
            "direction", "flags", "rule", "observedby", "resourcetype", "orderstatus",
            "paymentstatus", "transactionstatus", "transactiontype", "previousstatus",
            "paymentmethod", "capturemode", "creditdebit",
        ],
        _WORD,
    ),
    **dict.fromkeys(
        [
            "amount", "amountminor", "amountrefunded", "refundedamount", "amountinquired",
            "amountresponded", "totalamount", "received", "refunded", "takenback", "booked",
            "captured", "capturable", "refundable", "voidable", "voided", "balanceaftermutation",
        ],
        _AMOUNT,
    ),
    **dict.fromkeys(["currency", "currencycode", "fxcurrency"], _CURRENCY),
    **dict.fromkeys(["sequence", "schema", "version"], _NUMBER),
    **dict.fromkeys(
        [
            "at", "created", "createdat", "updated", "updatedat", "lastupdated", "modified",
            "completed", "completedat", "executed", "expired", "expiresat", "validuntil",
            "timestamp", "occurred", "occurredat", "observedat", "noticed", "chargedate",
            "timeresponded", "timerefunded", "timeexpiry", "lasttransactionadded",
        ],
        _TIME,
    ),
}  # fmt: skip

# Parts of an amount, shown only inside one: bunq calls the number of an IBAN's alias "value" too.
_IN_AMOUNT: Final = {"value": _AMOUNT, "minor": _AMOUNT, "decimal": _AMOUNT, "exponent": _NUMBER}

# What merchants fill as they like, the names of fields too.
_FREE: Final = frozenset({"metadata", "extra", "custom", "customfields"})

_FIELD_NAME: Final = re.compile(r"(?!.*[0-9]{6})[A-Za-z_][A-Za-z0-9_.-]{0,39}", re.ASCII)
_CALL: Final = re.compile(
    rb"(?P<method>[A-Z]{3,7}) (?P<path>/[^\s?]*)(?P<query>\?\S*)?"
    rb" (?P<status>[0-9]{3}) (?P<length>[0-9]{1,9})\n"
)


@dataclass(frozen=True, slots=True)
class Redacted:
    """What may be shown of some bytes: indented JSON, or "" and why there is nothing to show.

    about is the call that they answered, "" for a body that came by itself.
    """

    text: str
    problem: str = ""
    about: str = ""


def redact(body: bytes, *, about: str = "") -> Redacted:
    """Return what may be shown of a JSON body, at most LINES_MAX lines of it."""
    if len(body) > BYTES_MAX:
        return Redacted("", f"of more than {BYTES_MAX} bytes", about)
    if not body.strip():
        return Redacted("", "empty", about)
    try:
        value = parse(body)
    except NotStrict as error:
        return Redacted("", str(error), about)
    lines = list(islice(_lines("", value, around="", margin="", lead=""), LINES_MAX + 1))
    if len(lines) > LINES_MAX:
        lines[LINES_MAX:] = [f"{MARK} more than {LINES_MAX} lines"]
    return Redacted("\n".join(lines), about=about)


def redact_answer(evidence: bytes) -> list[Redacted]:
    """Return what may be shown of each answer to the calls of one read, at most CALLS_MAX.

    evidence is as `service.fetch` keeps it: for each call a line `METHOD path status length`, and
    so many bytes.
    """
    shown: list[Redacted] = []
    place = 0
    while place < len(evidence):
        head = _CALL.match(evidence, place)
        if head is None:
            return [*shown, Redacted("", "not in the form in which answers are kept")]
        if len(shown) == CALLS_MAX:
            return [*shown, Redacted("", f"after more than {CALLS_MAX} calls")]
        ends = head.end() + int(head["length"])
        shown.append(redact(evidence[head.end() : ends], about=_call(head)))
        place = ends + 1
    return shown


def _call(head: re.Match[bytes]) -> str:
    segments = head["path"].decode("ascii", "replace").split("/")
    path = "/".join(segment if _is_plain(segment) else MARK for segment in segments)
    asked = f"?{MARK}" if head["query"] else ""
    return f"{head['method'].decode()} {path}{asked} {head['status'].decode()}"


def _is_plain(segment: str) -> bool:
    fits = _ID.fullmatch(segment) or _FIELD_NAME.fullmatch(segment)
    return not segment or (fits is not None and not _is_iban(segment))


def _lines(name: str, value: object, *, around: str, margin: str, lead: str) -> Iterator[str]:
    """Yield the lines of a value under a folded name; around is the name of what it stands in."""
    inner = margin + "  "
    match value:
        case dict() if value and name not in _FREE:
            yield f"{margin}{lead}{{"
            for key, item in value.items():
                shown = key if _FIELD_NAME.fullmatch(key) and not _is_iban(key) else MARK
                lead_in = f'"{shown}": '
                yield from _lines(_folded(key), item, around=name, margin=inner, lead=lead_in)
            yield f"{margin}}}"
        case list() if value and name not in _FREE:
            yield f"{margin}{lead}["
            for item in value:
                yield from _lines(name, item, around=around, margin=inner, lead="")
            yield f"{margin}]"
        case _:
            yield f"{margin}{lead}{_shown(name, value, around=around)}"


def _shown(name: str, value: object, *, around: str) -> str:
    """Return a plain value where its name allows its shape, the mark for any other."""
    if value is None:
        return "null"
    if value in ({}, []):
        return json.dumps(value)
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return MARK
    shape = _SHAPES.get(name)
    if _SHAPES.get(around) is _AMOUNT:
        shape = _IN_AMOUNT.get(name, shape)
    text = str(value)
    if shape is None or not shape.fullmatch(text) or _is_iban(text):
        return MARK
    return json.dumps(text) if isinstance(value, str) else text


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _is_iban(text: str) -> bool:
    """Return whether the check digits of a text are those of an IBAN."""
    if not re.fullmatch(r"[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11,30}", text, re.ASCII):
        return False
    number = "".join(str(int(character, 36)) for character in text[4:] + text[:4])
    return int(number) % 97 == 1
