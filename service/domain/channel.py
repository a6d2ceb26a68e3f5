"""Whether the webhooks of an account still reach us, told by the changes that none announced.

Pure: no I/O, no clock. Time alone says nothing, since a quiet shop has no webhooks either; only a
change that we found by looking, and that happened after the last webhook came in, speaks against
the channel. What happened before it was lost singly: the channel worked afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from service.domain.request import Facts

# How many such changes in a row make an alarm. Where one webhook in ten is lost for other reasons,
# ten in a row are lost by chance once in 10^10 changes; a shop with a hundred payments a day and a
# dead channel is noticed within about two hours. A burst that a list shows before its webhooks
# come may do it as well, and the first of them ends that alarm. Source: our choice.
SILENT_CHANGES: Final = 10


class Silence(StrEnum):
    """Why a channel is called silent: the reason that its account shows."""

    NEVER_HEARD = "no_webhook_ever"
    STOPPED = "webhooks_stopped"


@dataclass(frozen=True, slots=True)
class Channel:
    """What is known of an account's webhooks.

    added_at is when we began to know the account, heard_at when its newest webhook came in, None
    before the first. untold holds when changes happened that no webhook announced, in any order;
    the newest of them are enough.
    """

    added_at: datetime
    heard_at: datetime | None
    untold: Sequence[datetime]


def calls_for_a_webhook(before: Facts | None, after: Facts) -> bool:
    """Return whether every provider that sends webhooks announces a change.

    Money that goes back or is booked is left out: Ginger says of refunds, captures and charge-backs
    nothing that can be relied on. Source: fact sheet ginger, "webhook on refund".
    """
    if before is None or after.received != before.received:
        return True
    gone = [(facts.refunded, facts.taken_back, facts.booked) for facts in (before, after)]
    return gone[0] == gone[1]


def untold_since(channel: Channel) -> int:
    """Return how many changes happened since the last sign of life and were found by looking.

    What happened before we knew the account could not be announced to us.
    """
    since = channel.heard_at or channel.added_at
    return sum(happened_at > since for happened_at in channel.untold)


def silence_of(channel: Channel, *, silent_changes: int) -> Silence | None:
    """Return why a channel counts as silent, None while it does not."""
    if untold_since(channel) < silent_changes:
        return None
    return Silence.NEVER_HEARD if channel.heard_at is None else Silence.STOPPED
