"""Running an exchange: the evidence it leaves, what its answers come to, what its calls cost."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from service.errors import NotAllowedYet, NotFoundThere, TooManyCalls, Unavailable, Unreadable
from service.fetch import ConnectedAccount, Line, Purpose, fetch
from service.runtime import connect_accounts
from tests.flow.world import ACCOUNT, Provider, settings_of

BASE = "https://ginger.test/v1/orders/"
Reading = Generator[httpx.Request, httpx.Response, str]


def account() -> ConnectedAccount:
    return connect_accounts(settings_of())[ACCOUNT]


class Purse:
    """Notes what every call is drawn for; refuses the draws that it is told to."""

    def __init__(self, *, refusals: Sequence[int] = ()) -> None:
        self.drawn: list[Purpose] = []
        self._refusals = list(refusals)

    async def draw(self, account: ConnectedAccount, purpose: Purpose) -> None:
        self.drawn.append(purpose)
        if len(self.drawn) in self._refusals:
            raise NotAllowedYet("budget", retry_after_seconds=0.001)


def reads(*names: str) -> Reading:
    """Read several things one after the other; the answers' texts are what it comes to."""
    texts = []
    for name in names:
        response = yield httpx.Request("GET", BASE + name)
        texts.append(response.text)
    return "+".join(texts)


def stubborn(*names: str) -> Reading:
    """Read several things, whatever becomes of any."""
    for name in names:
        with suppress(NotFoundThere):
            yield httpx.Request("GET", BASE + name)
    return ""


async def fetched(
    exchange: Reading,
    *answers: httpx.Response,
    purse: Purse | None = None,
    purpose: Purpose = "told",
) -> tuple[str, bytes, Provider]:
    provider = Provider()
    provider.answers = {"a": list(answers)} if answers else {}
    line = Line(provider, (purse or Purse()).draw)
    done = await fetch(account(), exchange, line=line, purpose=purpose)
    return done.answer, done.evidence, provider


def refusal(retry_after: str) -> httpx.Response:
    return httpx.Response(429, headers={"retry-after": retry_after})


async def test_an_exchange_ends_in_its_answer_and_the_raw_evidence_of_every_call() -> None:
    texts = [httpx.Response(200, content=b"one"), httpx.Response(200, content=b"two\n")]

    text, evidence, provider = await fetched(reads("a", "a"), *texts)

    assert text == "one+two\n"
    assert evidence == b"GET /v1/orders/a 200 3\none\nGET /v1/orders/a 200 4\ntwo\n\n"
    assert provider.calls == ["a", "a"]


@pytest.mark.parametrize(
    ("statuses", "told_after"), [((200, 200), [1]), ((404, 200), [2]), ((404, 404), [])]
)
async def test_the_first_good_answer_is_told_at_once_and_once(
    statuses: Sequence[int], told_after: list[int]
) -> None:
    provider, told = Provider(), []
    provider.answers = {"a": [httpx.Response(status) for status in statuses]}

    async def answered(account: ConnectedAccount, purpose: Purpose) -> None:
        told.append(len(provider.calls))

    await fetch(
        account(),
        stubborn("a", "a"),
        line=Line(provider, Purse().draw, answered=answered),
        purpose="poll",
    )

    assert told == told_after


@pytest.mark.parametrize(
    ("told", "seconds"), [("7", 7.0), ("0", None), ("", None), ("soon", None), ("-3", None)]
)
async def test_a_429_carries_how_long_the_provider_wants_to_be_left_alone(
    told: str, seconds: float | None
) -> None:
    with pytest.raises(TooManyCalls) as raised:
        await fetched(reads("a"), refusal(told))

    assert raised.value.retry_after_seconds == seconds


async def test_a_429_may_name_a_date() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)

    with pytest.raises(TooManyCalls) as raised:
        await fetched(reads("a"), refusal(until))

    assert raised.value.retry_after_seconds == pytest.approx(90, abs=3)


async def test_a_second_read_that_finds_nothing_is_evidence_too() -> None:
    def exchange() -> Reading:
        try:
            yield httpx.Request("GET", BASE + "gone")
        except NotFoundThere:
            return "none"
        raise AssertionError("there was an answer")

    text, evidence, _ = await fetched(exchange())

    assert text == "none"
    assert evidence.startswith(b"GET /v1/orders/gone 404 ")


@pytest.mark.parametrize(
    "error",
    [
        KeyError("id"), IndexError(), TypeError(), ValueError(), AttributeError(),
        OverflowError(), ZeroDivisionError(), RecursionError(),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
async def test_an_answer_of_another_shape_is_unreadable_whatever_the_adapter_trips_over(
    error: Exception,
) -> None:
    def exchange() -> Reading:
        yield httpx.Request("GET", BASE + "a")
        raise error

    with pytest.raises(Unreadable, match=type(error).__name__):
        await fetched(exchange(), httpx.Response(200))


async def test_a_bug_in_an_adapter_is_not_taken_for_an_answer() -> None:
    def exchange() -> Reading:
        yield httpx.Request("GET", BASE + "a")
        raise AssertionError("planted")

    with pytest.raises(AssertionError, match="planted"):
        await fetched(exchange(), httpx.Response(200))


async def test_every_call_is_drawn_and_half_a_read_waits_for_the_rest() -> None:
    purse = Purse(refusals=[2, 3])

    await fetched(reads("a", "a"), httpx.Response(200), purse=purse)

    assert purse.drawn == ["told"] * 4


async def test_a_read_whose_first_call_is_refused_makes_none() -> None:
    purse, provider = Purse(refusals=[1]), Provider()

    with pytest.raises(NotAllowedYet):
        await fetch(account(), reads("a"), line=Line(provider, purse.draw), purpose="told")

    assert provider.calls == []


async def test_only_the_first_call_of_a_discovery_draws_on_the_small_budget() -> None:
    purse = Purse()

    await fetched(reads("a", "a", "a"), httpx.Response(200), purse=purse, purpose="discovery")

    assert purse.drawn == ["discovery", "poll", "poll"]


async def test_an_exchange_that_fails_is_closed() -> None:
    closed = []

    def exchange() -> Reading:
        try:
            yield httpx.Request("GET", BASE + "a")
        finally:
            closed.append(True)
        raise AssertionError("there was an answer")

    with pytest.raises(Unavailable):
        await fetched(exchange(), httpx.Response(500))

    assert closed == [True]
