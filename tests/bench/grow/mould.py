"""Two requests that the product itself records, told of three times each: what copies are made of.

The first is paid and told to the ERP, the second still open and watched.
"""

from datetime import UTC, datetime

from service.domain.event import Call, Event
from service.domain.lane import Allowance, after_claim
from service.domain.request import Kind
from service.runtime import utc_now
from service.storage.database import Pool, pool_of
from service.storage.deliveries import ClaimedDelivery, Closing, Deliveries
from service.storage.event_writer import EventWriter
from service.storage.lanes import Lanes
from service.storage.unit_of_work import Work, unit_of_work
from tests.bench.load import body_of
from tests.flow.world import ACCOUNT, World, order, order_id, world_on

ENDPOINT = "erp"
EVENTS_PER_REQUEST = 3

LEASE_SECONDS = 15.0
RATE = 1e6  # out of the way

# What the first shows, and after it the second; each with a word that stands in no other field.
RECORDED = ("order_completed", "order_new")


def reference_of(number: int) -> str:
    return f"MOULD-{number}-REFERENCE"


async def make_moulds(database_url: str) -> None:
    """Have the product record both in an empty database, and deliver what it says of them."""
    writer = EventWriter(database_url)
    pool = pool_of(database_url, application="grow", connections_max=4)
    await pool.open()
    await writer.start()
    async with world_on(pool) as world:
        for number, recorded in enumerate(RECORDED):
            await _play(number, recorded, world, writer)
    await _deliver(pool)
    await writer.stop()
    await pool.close()


async def _play(number: int, recorded: str, world: World, writer: EventWriter) -> None:
    shown = order(number, recorded, reference=reference_of(number))
    world.provider.shows(shown)
    for _ in range(EVENTS_PER_REQUEST):
        call = Call({}, body_of(order_id(number)).encode(), received_at=utc_now())
        await writer.store(ACCOUNT, call, [Event(Kind.ORDER, order_id(number))])
        await world.sync()


async def _deliver(pool: Pool) -> None:
    while True:
        async with unit_of_work(pool) as work:
            claims = await claim(work, 100)
            await Deliveries(work.connection).close([delivered(each) for each in claims])
        if not claims:
            return


async def claim(work: Work, limit: int) -> list[ClaimedDelivery]:
    """Claim deliveries as a worker does whose lane is never too fast."""
    deliveries = Deliveries(work.connection)
    for seen in await Lanes(work.connection).with_work():
        if seen.name == ENDPOINT:
            after = after_claim(
                seen.lane, Allowance(limit), now=seen.at, rate=RATE, timeout_seconds=LEASE_SECONDS
            )
            return await deliveries.claim(seen, after, limit, lease_seconds=LEASE_SECONDS)
    return []


def delivered(claim: ClaimedDelivery) -> Closing:
    """Return the closing of a delivery that arrived at the first attempt."""
    return Closing(
        claim, "delivered", True, 0.0, datetime.now(UTC), "http_204", 204, 20, excerpt=""
    )
