"""Watches whether webhooks still reach us, and says when an account has fallen silent.

Every worker judges by the same rows: `domain/channel.py` says how, `storage/channels.py` keeps
what is judged.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import structlog

from service.domain.channel import (
    Channel,
    Silence,
    calls_for_a_webhook,
    silence_of,
    untold_since,
)
from service.domain.lifecycle import Transition
from service.domain.notification import time_text
from service.domain.request import Facts, ObservedBy
from service.flow.compare import Judged
from service.flow.look import Look, SyncParts
from service.providers import SendsWebhooks
from service.storage.channels import Channels, Untold
from service.storage.unit_of_work import connected

log = structlog.get_logger()

# What we find by ourselves. A person's look says nothing: they may be quicker than any webhook.
_BY_LOOKING = (ObservedBy.POLL, ObservedBy.SWEEP)


def untold_in(judged: Sequence[Judged], parts: SyncParts, *, at: datetime) -> list[Untold]:
    """Return the changes among judged looks that no webhook told, where there are webhooks."""
    return [
        Untold(
            account=j.request.key.account,
            request_id=j.request.id,
            sequence=j.verdict.after.sequence,
            called_for=calls_for_a_webhook(j.request.facts, _facts(j.verdict)),
            occurred_at=j.verdict.after.occurred_at,
            recorded_at=at,
        )
        for j in judged
        if isinstance(j.verdict, Transition)
        and j.cause.observed_by in _BY_LOOKING
        and sends_webhooks(j.request.key.account, parts)
    ]


def _facts(transition: Transition) -> Facts:
    facts = transition.after.facts
    assert facts is not None, "a transition leads to facts"
    return facts


def sends_webhooks(name: str, parts: SyncParts) -> bool:
    return isinstance(parts.accounts[name].provider, SendsWebhooks)


async def watch_after(looks: Sequence[Look], untold: Iterable[str], parts: SyncParts) -> None:
    """Judge the channels that a recorded batch may be news about.

    untold are the accounts at which changes were found by looking; where a webhook made us look,
    a silent channel may be alive again. Raises Unavailable.
    """
    names = set(untold)
    told = {x.claimed.account for x in looks if x.claimed.observed_by == ObservedBy.WEBHOOK}
    if told - names:
        async with connected(parts.pool) as connection:
            names.update(await Channels(connection).silent_among(told - names))
    await watch_channels(names, parts)


async def watch_channels(names: Iterable[str], parts: SyncParts) -> None:
    """Judge the channels of these accounts, and say which fell silent or came back."""
    watched = [name for name in names if name in parts.accounts and sends_webhooks(name, parts)]
    if not watched:
        return
    limit = parts.silent_changes
    async with connected(parts.pool) as connection:
        channels = Channels(connection)
        await channels.hear(watched)
        for name, one in (await channels.watched(watched, changes_max=limit)).items():
            silence = silence_of(one.channel, silent_changes=limit)
            if silence != one.counts_as and await channels.note(name, one, silence):
                _tell(name, one.channel, silence)


def _tell(name: str, channel: Channel, silence: Silence | None) -> None:
    heard_at = time_text(channel.heard_at)
    if silence is None:
        log.info("account.resumed", account=name, heard_at=heard_at)
    else:
        log.error(
            "account.silenced",
            account=name,
            reason=str(silence),
            changes=untold_since(channel),
            heard_at=heard_at,
        )
