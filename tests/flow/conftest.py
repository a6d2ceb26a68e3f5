"""An empty world, and an ERP to tell, for every test that asks."""

from collections.abc import AsyncIterator

import pytest

from service.flow.attempt import DeliverParts
from service.storage.database import Pool
from tests.emptied import emptied as emptied
from tests.emptied import shared_url as shared_url
from tests.flow.surroundings import Erp, endpoint, listening, sending
from tests.flow.world import World, world_on


@pytest.fixture
async def world(emptied: Pool) -> AsyncIterator[World]:
    async with world_on(emptied) as made:
        yield made


@pytest.fixture
async def closed_world(emptied: Pool) -> AsyncIterator[World]:
    """A world whose account does not discover."""
    async with world_on(emptied, discover=False) as made:
        yield made


@pytest.fixture
async def erp() -> AsyncIterator[Erp]:
    """An ERP that takes everything until told otherwise."""
    async with listening() as erp:
        yield erp


@pytest.fixture
async def parts(emptied: Pool, erp: Erp) -> AsyncIterator[DeliverParts]:
    """Parts of a delivery to that ERP, by the endpoint erp."""
    async with sending(emptied, endpoint(erp)) as parts:
        yield parts
