"""The words of the tables: what a recording comes to, and what a provider's world is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.domain.request import BelongsTo, Kind, NotOurs, Unmapped
from service.domain.status import Status
from service.errors import Unreadable
from service.providers import AccountContext, Provider
from service.registry import PROVIDERS
from service.settings import Section

RECORDED = Path(__file__).with_name("recorded")


@dataclass(frozen=True)
class Seen:
    """An observation, in minor units."""

    status: Status
    received: int = 0
    refunded: int = 0
    taken_back: int = 0
    final: bool = False
    attention: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Told:
    """The event in a call: what to read, or why nothing."""

    kind: Kind | None
    provider_id: str | None
    reason: str | None = None


@dataclass(frozen=True)
class Lists:
    """The ids on a page."""

    provider_ids: tuple[str, ...]


Expected = Seen | Told | Lists | BelongsTo | NotOurs | Unmapped | type[Unreadable]


@dataclass(frozen=True)
class Row:
    """A recording's answer.

    asked is the id that was read, by default the recording's own, and kind what it is the id of,
    by default the world's. others are the recordings that answer further calls, by path.
    """

    expected: Expected
    asked: str | None = None
    kind: Kind | None = None
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """What the shared suite must know of one provider.

    saying makes an answer to the read of known_id whose status is a given word. headers are those
    of a call with a given body.
    """

    keys: Section
    api_base: str
    kind: Kind
    known_id: str
    other_id: str
    wrong_ids: tuple[str, ...]
    saying: Callable[[str], bytes]
    rows: Mapping[str, Row]
    headers: Callable[[bytes], Mapping[str, str]] = lambda body: {}

    def adapter(self, provider: str, *, live: bool = False) -> Provider:
        context = AccountContext(name="test", words={}, live=live)
        return PROVIDERS[provider].make(self.keys, context)


def recording(provider: str, file: str) -> bytes:
    return (RECORDED / provider / file).read_bytes()
