"""What a twin wants to tell the merchant: webhook calls, and how patient it is with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class News:
    """One item of a call in the words of the notification that follows from it.

    They stand there under data.provider, as id and status. Where nothing follows, neither matches.
    """

    provider_id: str
    word: str


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """One call: its bytes, the ids of the requests it is about, and the news in it."""

    url: str
    body: bytes
    about: tuple[str, ...]
    news: tuple[News, ...]
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a provider waits for an answer, and after which waits it calls again; seconds."""

    first_timeout: float
    later_timeout: float
    waits: tuple[float, ...]
