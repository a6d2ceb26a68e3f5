"""What may go wrong at a provider, as settings of an account, and the draw that decides.

Draws come from a seeded generator, one per webhook or per read in the order in which they
happen: how many of n suffer which fault depends on the seed and n alone.
"""

import random
from enum import StrEnum
from typing import Annotated, TypeVar

from msgspec import Meta, Struct, field

Rate = Annotated[float, Meta(ge=0, le=1)]
Milliseconds = Annotated[int, Meta(ge=0)]
Fault = TypeVar("Fault")


class WebhookFault(StrEnum):
    """What happens to a webhook on its way."""

    DROPPED = "dropped"  # never sent
    DUPLICATED = "duplicated"  # sent twice
    REORDERED = "reordered"  # overtaken by the order's next webhook
    LATE = "late"


class ReadFault(StrEnum):
    """What happens to a read."""

    ERROR = "error"  # 500 in the documented envelope
    TOO_MANY = "too_many"  # 429 with Retry-After
    HTML = "html"  # 502 with a gateway's HTML page
    UNAUTHORISED = "unauthorised"
    NOT_FOUND = "not_found"
    SLOW = "slow"
    STALE = "stale"  # an older picture
    WRONG_RESOURCE = "wrong_resource"  # an order with another id
    UNKNOWN_WORD = "unknown_word"  # a status that is in no table
    FINE = "fine"  # no fault; only useful in a script


class Faults(Struct, forbid_unknown_fields=True):
    """Rates between 0 and 1; at most one webhook fault and one read fault at a time.

    script is used up first: the faults of the next reads, in order.
    """

    drop: Rate = 0
    duplicate: Rate = 0
    reorder: Rate = 0
    late: Rate = 0
    reorder_ms: Milliseconds = 1000
    late_ms: Milliseconds = 3000
    error: Rate = 0
    too_many: Rate = 0
    html: Rate = 0
    unauthorised: Rate = 0
    not_found: Rate = 0
    slow: Rate = 0
    stale: Rate = 0
    wrong_resource: Rate = 0
    unknown_word: Rate = 0
    slow_ms: Milliseconds = 2000
    stale_ms: Milliseconds = 2000
    retry_after_seconds: Annotated[int, Meta(ge=0)] = 1
    script: list[ReadFault] = field(default_factory=list)


class Draws:
    """Decides, one draw at a time, which fault strikes next."""

    def __init__(self, seed: str) -> None:
        self._webhooks = random.Random(f"{seed}:webhooks")  # noqa: S311 - faults, not secrets
        self._reads = random.Random(f"{seed}:reads")  # noqa: S311 - as above

    def webhook_fault(self, faults: Faults) -> WebhookFault | None:
        """Return what happens to the next webhook."""
        rates = (
            (WebhookFault.DROPPED, faults.drop),
            (WebhookFault.DUPLICATED, faults.duplicate),
            (WebhookFault.REORDERED, faults.reorder),
            (WebhookFault.LATE, faults.late),
        )
        return _pick(self._webhooks.random(), rates)

    def read_fault(self, faults: Faults) -> ReadFault | None:
        """Return what happens to the next read; takes the script's next line, if there is one."""
        if faults.script:
            return faults.script.pop(0)
        rates = (
            (ReadFault.ERROR, faults.error),
            (ReadFault.TOO_MANY, faults.too_many),
            (ReadFault.HTML, faults.html),
            (ReadFault.UNAUTHORISED, faults.unauthorised),
            (ReadFault.NOT_FOUND, faults.not_found),
            (ReadFault.SLOW, faults.slow),
            (ReadFault.STALE, faults.stale),
            (ReadFault.WRONG_RESOURCE, faults.wrong_resource),
            (ReadFault.UNKNOWN_WORD, faults.unknown_word),
        )
        return _pick(self._reads.random(), rates)


def _pick(draw: float, rates: tuple[tuple[Fault, float], ...]) -> Fault | None:
    """Return the fault in whose share of the range 0 to 1 the draw lies."""
    for fault, rate in rates:
        if draw < rate:
            return fault
        draw -= rate
    return None
