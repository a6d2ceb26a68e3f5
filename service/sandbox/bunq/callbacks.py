"""bunq's callbacks: who wants which, what they say, and those that nobody took.

Source: fact sheet bunq, section 4.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from service.sandbox.bunq.happenings import ANSWERS, What
from service.sandbox.bunq.keys import sign
from service.sandbox.bunq.parties import Payee
from service.sandbox.bunq.words import (
    PENDING,
    WORDS,
    Payment,
    inquiry_json,
    payment_json,
    response_json,
    stamp,
    status_word,
)
from service.sandbox.calls import News, WebhookCall
from service.sandbox.ledger import Entry, Json, PaymentRequest

REQUEST, MUTATION, PAYMENT = "REQUEST", "MUTATION", "PAYMENT"
EVENTS: Mapping[StrEnum, str] = {what: f"REQUEST_INQUIRY_{word}" for what, word in WORDS.items()}
URLS_PER_CATEGORY_MAX = 2


class Filter(Struct, forbid_unknown_fields=True):
    """A wish to be called; only an https address will do, or one on this machine."""

    category: Annotated[str, Meta(pattern="^[A-Z_]+$")]
    notification_target: Annotated[
        str, Meta(pattern=r"^(https://.|http://(127\.0\.0\.1|localhost|\[::1\])[:/])")
    ]
    all_verification_type: list[str] = []


@dataclass(frozen=True, slots=True)
class Registered:
    """A filter that is in force."""

    id: int
    at: datetime
    wish: Filter

    @property
    def shown(self) -> Json:
        return {
            "id": self.id,
            "created": stamp(self.at),
            "updated": stamp(self.at),
            "category": self.wish.category,
            "notification_target": self.wish.notification_target,
        }


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell whoever wants that category; thing is the object with its type name."""

    category: str
    event_type: str
    thing: Json
    object_id: int
    about: str
    at: datetime
    news: tuple[News, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback(WebhookCall):
    """The call that carries a notice to one address; number is its own at the account."""

    number: int
    notice: Notice


@dataclass(frozen=True, slots=True)
class Failure:
    """A callback that was never taken; response_code is what was answered last, if anything."""

    id: int
    at: datetime
    call: Callback
    response_code: int | None

    @property
    def shown(self) -> Json:
        notice = self.call.notice
        is_deaf = self.response_code is None
        return {
            "id": self.id,
            "created": stamp(self.at),
            "updated": stamp(self.at),
            "category": notice.category,
            "event_type": notice.event_type,
            "object_id": notice.object_id,
            "exception_message": "Connection timed out" if is_deaf else "Unexpected response",
            "response_code": self.response_code,
        }


def notice_of_creation(request: PaymentRequest, payee: Payee) -> Notice:
    event = "REQUEST_INQUIRY_CREATED"
    return _notice_of_inquiry(request, (), event, PENDING, request.created_at, payee)


def notices_of(
    request: PaymentRequest, entries: Sequence[Entry], payment: Payment | None, payee: Payee
) -> Iterator[Notice]:
    """Yield what the last of these entries gives reason to tell; payment is its movement."""
    entry = entries[-1]
    if payment is not None:
        yield from _notices_of_payment(payment, payee)
    if entry.what in ANSWERS:
        event, word = entry.note or EVENTS[entry.what], status_word(entries)
        yield _notice_of_inquiry(request, entries, event, word, entry.at, payee)
    elif entry.what is What.FORGED:
        pretended = Entry(What.RECEIVED, entry.at, entry.id, "", request.amount, "")
        yield _notice_of_inquiry(request, [pretended], entry.note, "", entry.at, payee)
    elif entry.what is What.MIRRORED:
        thing: Json = {"RequestResponse": response_json(request, entry, payee)}
        yield Notice(REQUEST, entry.note, thing, int(request.id), request.id, entry.at)


def callback_of(notice: Notice, url: str, number: int, *, signed: bool) -> Callback:
    """Return the call to one address; a signature on callbacks is not documented."""
    envelope = {
        "target_url": url,
        "category": notice.category,
        "event_type": notice.event_type,
        "object": notice.thing,
    }
    body = encoded({"NotificationUrl": envelope})
    headers = {"content-type": "application/json"}
    if signed:
        headers["x-bunq-server-signature"] = sign(body)
    return Callback(
        url=url,
        body=body,
        about=(notice.about,),
        news=notice.news,
        headers=headers,
        number=number,
        notice=notice,
    )


def encoded(content: object) -> bytes:
    """Return JSON as bunq writes it: ASCII, slashes escaped, no blanks. Source: the fixtures."""
    # A slash in JSON can only stand inside a text, where the escape means the same.
    return json.dumps(content, separators=(",", ":")).replace("/", "\\/").encode()


def _notice_of_inquiry(
    request: PaymentRequest,
    entries: Sequence[Entry],
    event: str,
    word: str,
    at: datetime,
    payee: Payee,
) -> Notice:
    """Word is the status that the product is going to show, empty where nothing follows."""
    thing: Json = {"RequestInquiry": inquiry_json(request, entries, payee)}
    news = (News(request.id, word),) if word else ()
    return Notice(REQUEST, event, thing, int(request.id), request.id, at, news)


def _notices_of_payment(payment: Payment, payee: Payee) -> Iterator[Notice]:
    """Yield a mutation; and a payment too, unless the money came from a request."""
    thing: Json = {"Payment": payment_json(payment, payee)}
    categories = {MUTATION: "MUTATION_RECEIVED"}
    if not payment.is_incoming:
        categories = {MUTATION: "MUTATION_CREATED", PAYMENT: "PAYMENT_CREATED"}
    for category, event in categories.items():
        about = payment.request.id
        yield Notice(category, event, thing, payment.id, about, payment.entry.at)
