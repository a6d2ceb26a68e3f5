"""Seeing that nothing has changed: a provider's list page by page, against one read for each.

Only calls are counted, by the sandbox. They do not depend on the machine, so once is enough.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Final

from service.domain.request import Observation
from service.fetch import ConnectedAccount, fetch
from service.providers import Provider, ShowsStatuses
from service.runtime import utc_now
from tests.bench.report import CountsDiffer, ratio, say, table
from tests.bench.twins import Twins, side_by_side

OPEN_REQUESTS: Final = 1_000

# The story after which a request stays as it is, and not at its end.
STORIES: Final = MappingProxyType(
    {"bunq": "open", "gocardless": "open", "payment_requests_v2": "processing"}
)
NAMES: Final = MappingProxyType({f"look_through_calls_{name}_vs_polls": name for name in STORIES})


async def measure(twins: Twins, names: Collection[str]) -> None:
    """Print the calls of both ways for those of NAMES that are among the names."""
    providers = [provider for name, provider in NAMES.items() if name in names]
    counted = {provider: await _count(provider, twins) for provider in providers}
    if not counted:
        return
    say(f"\nlook through: calls to see {OPEN_REQUESTS:,} open requests unchanged")
    table(
        ("provider", "pages", "one by one"),
        [(name, f"{pages:,}", f"{polls:,}") for name, (pages, polls) in counted.items()],
    )
    for provider, (pages, polls) in counted.items():
        ratio(f"look_through_calls_{provider}_vs_polls", [pages / polls], digits=3)


async def _count(provider: str, twins: Twins) -> tuple[int, int]:
    """Return how many calls the pages take and how many the reads.

    Raises CountsDiffer unless the pages show every request as its read found it.
    """
    account = twins.accounts[provider]
    made_since = utc_now() - timedelta(minutes=1)
    made = await twins.play(account, STORIES[provider], OPEN_REQUESTS)
    before = await twins.calls()
    fetched = await side_by_side(partial(twins.read, account), made)
    between = await twins.calls()
    shown = await _look_through(account, account.provider, made_since, twins)
    pages = await twins.calls() - between
    await twins.check(account, made, fetched)
    for read in fetched:
        answer = read.answer
        listing = answer.listing if isinstance(answer, Observation) else None
        if listing is None or shown.get(listing.provider_id) != listing.mark:
            raise CountsDiffer(f"{provider}: the list shows {listing} otherwise than its read")
    return pages, between - before


async def _look_through(
    account: ConnectedAccount, provider: Provider, since: datetime, twins: Twins
) -> dict[str, str | None]:
    """Read the list to its end; return the mark of each entry."""
    assert isinstance(provider, ShowsStatuses), "the stories are of providers that do"
    shown: dict[str, str | None] = {}
    cursor: str | None = None
    while True:
        exchange = provider.look_through(since, cursor)
        page = (await fetch(account, exchange, line=twins.line, purpose="poll")).answer
        shown |= {item.provider_id: item.mark for item in page.items}
        cursor = page.next
        if cursor is None:
            return shown
