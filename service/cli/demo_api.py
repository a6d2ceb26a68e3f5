"""What a demo asks sandbox and product over HTTP, and what it reads of their answers."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import httpx
import msgspec
from msgspec import Raw, Struct, field

from service.errors import Unavailable

T = TypeVar("T")

TIMEOUT_SECONDS = 30.0

# Both services close a line that was idle for 5 s, be it at the moment when it is used again.
NO_LINE_KEPT = httpx.Limits(max_keepalive_connections=0)
PAGE = 500


class Truth(Struct):
    """The ledger's account of one request; amounts are minor units."""

    account: str
    provider_id: str
    reference: str | None
    status: str
    received: int
    refunded: int
    taken_back: int
    booked: int
    final: bool
    direction: str


class Webhooks(Struct):
    """What became of the provider's webhooks."""

    sent: int
    accepted: int
    refused: int
    dropped: int
    duplicated: int
    reordered: int
    late: int
    given_up: int
    waiting: int


class Stats(Struct):
    webhooks: Webhooks
    provider_reads: Mapping[str, int]
    playing: int

    @property
    def is_quiet(self) -> bool:
        """Whether every story is over and every webhook has arrived or was lost."""
        return not self.playing and not self.webhooks.waiting


class Latency(Struct):
    count: int
    median_ms: float | None
    p99_ms: float | None


class MessageData(Struct):
    sequence: int = 0
    request_id: str | None = None
    order_id: str | None = None
    observed_by: str | None = None


class Message(Struct):
    """A notification's body."""

    id: str = ""
    type: str = ""
    data: MessageData = field(default_factory=MessageData)
    sha256: str = ""

    @property
    def subject(self) -> str:
        """The request or the order that its sequence counts."""
        return self.data.request_id or self.data.order_id or ""


class Arrival(Struct):
    """A notification as the ERP recorded it; status is its answer, None where it gave none."""

    id: str
    received_at: datetime
    signature_valid: bool
    body: Message
    body_sha256: str
    status: int | None = None


class Amount(Struct):
    minor: int


class State(Struct):
    """A request or an order, as the product tells of it."""

    id: str
    status: str | None
    account: str = ""
    reference: str | None = None
    provider_id: str = ""
    final: bool | None = None
    received: Amount | None = None
    refunded: Amount | None = None
    taken_back: Amount | None = None
    booked: Amount | None = None


class Coverage(Struct):
    """How far the product has looked through an account's list; None before the first time."""

    account: str
    complete_up_to: datetime | None


class Endpoint(Struct):
    backlog: int


class Made(Struct):
    """A request that the provider has made."""

    provider_id: str
    kind: str


class Page(Struct, Generic[T]):
    data: list[T]
    next: str | None


class Api:
    """One of the two services, spoken to in JSON. Raises Unavailable for every answer but 2xx."""

    def __init__(
        self, url: str, *, key: str = "", timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=timeout_seconds,
            limits=NO_LINE_KEPT,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str, shape: type[T], **parameters: str | int) -> T:
        return msgspec.json.decode(await self._call("GET", path, params=parameters), type=shape)

    async def post(self, path: str, body: Mapping[str, object]) -> bytes:
        return await self._call("POST", path, json=body)

    async def pages(self, path: str, shape: type[Page[T]]) -> list[T]:
        """Return every item of a list."""
        page = await self.get(path, shape, limit=PAGE)
        items = page.data
        while page.next is not None:
            page = await self.get(path, shape, limit=PAGE, cursor=page.next)
            items += page.data
        return items

    async def _call(self, method: str, path: str, **options: Any) -> bytes:
        try:
            answer = await self._client.request(method, path, **options)
        except httpx.TransportError as error:
            raise Unavailable(f"{method} {path}: no answer: {error!r}") from error
        if not answer.is_success:
            raise Unavailable(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.content


class Feed:
    """Everything that the product says it told the ERP, read on from where we were."""

    def __init__(self, product: Api) -> None:
        self._product = product
        self._next: str | None = None
        self.messages: list[Message] = []

    async def read_on(self) -> None:
        """Read to the end."""
        while True:
            after = {} if self._next is None else {"after": self._next}
            page = await self._product.get("/v1/changes", Page[Raw], limit=PAGE, **after)
            self._next = page.next
            self.messages += [_message(bytes(raw)) for raw in page.data]
            if not page.data:
                return


class Inbox:
    """Everything that the ERP recorded, in order of arrival, read on from where we were."""

    def __init__(self, sandbox: Api) -> None:
        self._sandbox = sandbox
        self.arrivals: list[Arrival] = []

    async def read_on(self) -> None:
        """Read to the end."""
        while True:
            after = len(self.arrivals)
            page: Sequence[Arrival] = await self._sandbox.get(
                "/sandbox/erp/notifications", list[Arrival], after=after
            )
            if not page:
                return
            self.arrivals += page


def _message(body: bytes) -> Message:
    """Return a body with its hash: what was sent is compared byte for byte."""
    message = msgspec.json.decode(body, type=Message)
    message.sha256 = hashlib.sha256(body).hexdigest()
    return message
