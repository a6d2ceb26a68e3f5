"""GoCardless's webhook calls: many events in one body, signed. Source: fact sheet, section 5."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from service.sandbox.calls import News, Patience, WebhookCall
from service.sandbox.gocardless.events import Event, event_json
from service.sandbox.gocardless.parts import stamp
from service.sandbox.ledger import Json

# Events in one body. Source: section 5 (third parties).
EVENTS_MAX = 250
TIMEOUT_SECONDS = 10
# Up to eight more tries; the first three gaps are the sheet's examples, the others our guess.
RETRY_SECONDS = (60, 120, 600, 1800, 3600, 7200, 14400, 28800)
USER_AGENT = "gocardless-webhook-service/1.2"
ORIGINS = {
    "live": "https://api.gocardless.com",
    "sandbox": "https://api-sandbox.gocardless.com",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(WebhookCall):
    """A webhook call that knows which webhook it is."""

    webhook_id: str


@dataclass(slots=True)
class Webhook:
    """A line of the list of webhooks: a call and how it was answered last."""

    call: Call
    at: datetime
    status_code: int | None = None
    successful: bool = False

    def answered(self, status_code: int | None) -> None:
        self.status_code = status_code
        self.successful = self.successful or status_code in range(200, 300)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where calls go, and how they are signed and marked."""

    url: str
    secret: str
    environment: str
    names_webhook: bool = True

    def call(self, events: Sequence[Event], webhook_id: str, news: tuple[News, ...]) -> Call:
        """Return the call that tells these events. The signature covers the bytes as sent."""
        content: Json = {"events": [event_json(event) for event in events]}
        if self.names_webhook:
            content["meta"] = {"webhook_id": webhook_id}
        body = msgspec.json.encode(content)
        return Call(
            url=self.url,
            body=body,
            about=tuple(dict.fromkeys(event.request.id for event in events)),
            news=news,
            headers={
                "content-type": "application/json",
                "user-agent": USER_AGENT,
                "origin": ORIGINS[self.environment],
                "webhook-signature": signature(self.secret, body),
            },
            webhook_id=webhook_id,
        )


def signature(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def patience(time_scale: float) -> Patience:
    waits = tuple(seconds * time_scale for seconds in RETRY_SECONDS)
    return Patience(TIMEOUT_SECONDS, TIMEOUT_SECONDS, waits)


def webhook_json(webhook: Webhook) -> Json:
    """Return a line of the list. The sheet names its filters; the other fields are assumed."""
    return {
        "id": webhook.call.webhook_id,
        "created_at": stamp(webhook.at),
        "is_test": False,
        "successful": webhook.successful,
        "url": webhook.call.url,
        "request_headers": dict(webhook.call.headers),
        "request_body": webhook.call.body.decode(),
        "response_code": webhook.status_code,
    }
