"""What a provider sends us: a Call as it arrived, and the Events in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from service.domain.request import Kind
from service.domain.status import Status


@dataclass(frozen=True, slots=True)
class Call:
    """One webhook call as it arrived; nothing in it is trusted yet.

    headers have lower-case names; body is the raw bytes, which is what signatures cover.
    """

    headers: Mapping[str, str]
    body: bytes
    received_at: datetime


class EventVerdict(StrEnum):
    """What became of an event; the words are fixed in the contract's event object."""

    ACCEPTED = "accepted"
    PARKED = "parked"
    SET_ASIDE = "set_aside"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Event:
    """One item of a call: it proves nothing, it only names what to read.

    kind and provider_id are None when there is nothing to read; the verdict is then set_aside
    and reason says why. event_id is the provider's own id where it gives one: only such events
    are ever deduplicated. claims is the status that it speaks of: never believed, but a read that
    shows less is made again soon.
    """

    kind: Kind | None
    provider_id: str | None
    event_id: str | None = None
    verdict: EventVerdict = EventVerdict.ACCEPTED
    reason: str | None = None
    created_at: datetime | None = None
    claims: Status | None = None
