"""An ERP that asks again while a receiver comes back."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from service.cli.demo_api import Api
from service.errors import Unavailable

T = TypeVar("T")

PATIENCE_SECONDS = 45.0
WAIT_SECONDS = 0.5


class PatientApi(Api):
    """An Api whose calls are made again for a while: all that a stage asks may be asked twice."""

    def __init__(self, url: str, *, key: str = "", seconds: float = PATIENCE_SECONDS) -> None:
        super().__init__(url, key=key)
        self._seconds = seconds

    async def get(self, path: str, shape: type[T], **parameters: str | int) -> T:
        return await self._again(lambda: super(PatientApi, self).get(path, shape, **parameters))

    async def post(self, path: str, body: Mapping[str, object]) -> bytes:
        return await self._again(lambda: super(PatientApi, self).post(path, body))

    async def _again(self, ask: Callable[[], Awaitable[T]]) -> T:
        ends_at = time.monotonic() + self._seconds
        while True:
            try:
                return await ask()
            except Unavailable:
                if time.monotonic() > ends_at:
                    raise
                await asyncio.sleep(WAIT_SECONDS)
