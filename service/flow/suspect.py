"""An order that nobody knows may be an attempt of a payment link: then open links are read too.

Not every brand says at an order which link it was made through. Its link says so, but nobody
calls about links.
"""

from collections import defaultdict
from collections.abc import Sequence

import structlog

from service.domain.request import BelongsTo, Kind, NotOurs, ObservedBy
from service.errors import NotFoundThere, Unreadable
from service.flow.look import Look, SyncParts
from service.storage.links import Links
from service.storage.unit_of_work import connected, unit_of_work

log = structlog.get_logger()


async def suspect_links(looks: Sequence[Look], parts: SyncParts) -> None:
    """Make the open links due of accounts that were called about an order nobody knows.

    Before what the looks brought is recorded, so that a crash in between loses nothing.
    """
    answered: dict[str, bool] = defaultdict(bool)
    for look in looks:
        if _may_be_an_attempt(look, parts):
            answered[look.claimed.account] |= _is_answered(look)
    for account, again in sorted(answered.items()):
        # Most accounts have none, and are asked with every batch.
        async with connected(parts.pool) as connection:
            if not await Links(connection).is_any_open(account):
                continue
        async with unit_of_work(parts.pool) as work:
            links = await Links(work.connection).suspect(account, again=again)
        if links:
            log.info("links.suspected", account=account, links=links)


def _may_be_an_attempt(look: Look, parts: SyncParts) -> bool:
    """Return whether a webhook named an order that we do not know and that stands alone.

    Only the first of failures in a row counts: an id that somebody made up fails for a day.
    """
    claim = look.claimed
    account = parts.accounts.get(claim.account)
    return (
        account is not None
        and claim.key.kind is Kind.ORDER
        and Kind.PAYMENT_LINK in account.provider.kinds
        and claim.observed_by == ObservedBy.WEBHOOK
        and not claim.known
        and not isinstance(look.answer, BelongsTo | NotOurs)
        and (look.failure is None or claim.errors == 0)
    )


def _is_answered(look: Look) -> bool:
    """Return whether the provider was asked: the small budget of unknown ids bounds how often."""
    return look.failure is None or isinstance(look.failure, NotFoundThere | Unreadable)
