"""Plan: what looking costs each account, against what its budget carries. All workers share it.

The same round, once a minute, judges whether webhooks still come: a channel that came back without
making anything due is noticed too.
"""

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta

import structlog

from service.budget import limit_for
from service.domain.pace import Believed, Plan, Walk, plan_looks, stretch_for
from service.flow.channel import watch_channels
from service.flow.look import SyncParts
from service.providers import HasList, ShowsStatuses
from service.storage.plans import Kept, Plans
from service.storage.unit_of_work import unit_of_work

log = structlog.get_logger()


async def make_plans(parts: SyncParts, *, sweep_every: timedelta, lookback: timedelta) -> int:
    """Make the plans of all accounts if it is time; it brings no news itself, so return 0.

    Whether the accounts' webhooks still come is judged with them.

    Claimed in a transaction of its own: where counting fails, it is not tried again at once.
    """
    names = list(parts.accounts)
    async with unit_of_work(parts.pool) as work:
        if not await Plans(work.connection).claim(names):
            return 0
    async with unit_of_work(parts.pool) as work:
        kept = Plans(work.connection)
        plans = await _plans(kept, parts, sweep_every=sweep_every)
        plans = {name: _reaching_back(plan, lookback) for name, plan in plans.items()}
        await kept.keep(_shared(plans, parts))
    await watch_channels(names, parts)
    return 0


async def _plans(kept: Plans, parts: SyncParts, *, sweep_every: timedelta) -> dict[str, Plan]:
    """Return what each account's looks and sweeps cost by themselves."""
    names = list(parts.accounts)
    groups = await kept.groups(names, max_age=parts.plan.max_age)
    pages = await kept.pages_a_sweep(names)
    believed = await kept.believed(names)
    plans = {}
    for name, account in parts.accounts.items():
        provider = account.provider
        entries = provider.entries_per_page if isinstance(provider, ShowsStatuses) else None
        looks = plan_looks(
            groups[name], entries_per_page=entries, believed=believed.get(name, Believed())
        )
        sweeps = pages[name] / sweep_every.total_seconds() if isinstance(provider, HasList) else 0.0
        plans[name] = Plan(looks.calls_a_second + sweeps, looks.walk)
    return plans


def _reaching_back(plan: Plan, lookback: timedelta) -> Plan:
    """Have a walk begin before we knew the oldest: the first sweep finds older ones than itself."""
    walk = plan.walk
    if walk is None:
        return plan
    since_seconds = walk.since_seconds + min(walk.since_seconds, lookback.total_seconds())
    return Plan(plan.calls_a_second, Walk(walk.every_seconds, since_seconds, walk.pages, walk.same))


def _shared(plans: Mapping[str, Plan], parts: SyncParts) -> dict[str, Kept]:
    """Return plans as the accounts of each credential share its budget."""
    planned: dict[str, float] = defaultdict(float)
    for name, plan in plans.items():
        planned[parts.accounts[name].budget] += plan.calls_a_second
    kept = {}
    for name, plan in plans.items():
        account = parts.accounts[name]
        share = limit_for("poll", account.limit)
        possible = share.per_second
        stretch = stretch_for(planned[account.budget], possible=possible)
        kept[name] = Kept(plan, planned[account.budget], possible, stretch)
    return kept
