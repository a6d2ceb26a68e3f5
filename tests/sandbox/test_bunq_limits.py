"""bunq's rate limits. Source: fact sheet bunq, section 9."""

import pytest

from service.sandbox.bunq.rates import Rates
from tests.sandbox.bunq_worlds import ACCOUNT, INQUIRIES, client_key, is_the_error, open_till, pem


async def test_the_fourth_read_in_three_seconds_is_too_many() -> None:
    async with open_till() as till:
        await till.log_in()
        answers = [await till.get(f"{INQUIRIES}{item}") for item in ("", "/1", "", "")]
        other = await till.get(f"{ACCOUNT}/payment")

    assert [answer.status_code for answer in answers] == [200, 404, 200, 429]
    assert is_the_error(answers[3], "429_rate_limit")
    assert "retry-after" not in answers[3].headers
    assert other.status_code == 200


async def test_there_is_one_session_per_thirty_seconds() -> None:
    async with open_till() as till:
        await till.log_in()
        await till.install()
        await till.register_device()
        answer = await till.ask_for_session()
        stats = (await till.http.get("/sandbox/stats")).json()

    assert answer.status_code == 429
    assert "1 calls per 30 second" in answer.json()["Error"][0]["error_description"]
    assert stats["provider_reads"] == {"device": 2, "session": 2}


async def test_a_sixth_installation_in_three_seconds_is_too_many() -> None:
    async with open_till() as till:
        for _ in range(5):
            await till.install()
        content = {"client_public_key": pem(client_key())}

        assert (await till.call("POST", "/v1/installation", content)).status_code == 429


@pytest.mark.parametrize(
    ("method", "endpoint", "calls", "seconds"),
    [
        ("GET", "request-inquiry", 3, 3),
        ("POST", "request-inquiry", 5, 3),
        ("PUT", "request-inquiry", 2, 3),
        ("POST", "session-server", 1, 30),
    ],
)
def test_a_limit_opens_again_after_its_time_and_widens_with_the_factor(
    method: str, endpoint: str, calls: int, seconds: int
) -> None:
    now = 0.0

    def refused(rates: Rates, times: int) -> list[bool]:
        return [rates.refusal(method, endpoint) is not None for _ in range(times)]

    plain, wide = Rates(1, lambda: now), Rates(2, lambda: now)

    assert refused(plain, calls + 1) == [False] * calls + [True]
    assert refused(wide, 2 * calls + 1) == [False] * 2 * calls + [True]
    now = seconds - 0.001
    assert refused(plain, 1) == [True]
    now = seconds
    assert refused(plain, 1) == [False]
