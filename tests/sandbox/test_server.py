"""The sandbox as a process, and the command that talks to it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from click.testing import CliRunner

from service.cli.sandbox import sandbox, trigger
from service.errors import NotFound, Unavailable
from tests.sandbox.worlds import KEY, PROJECT_ID

RUN = "from service.cli.sandbox import sandbox; sandbox()"
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", RUN, "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture(scope="module")
def url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    word, url = process.stdout.readline().split()
    assert word == "ready"
    settings = {"name": "ginger-nl", "api_key": KEY, "project_id": PROJECT_ID}
    assert httpx.post(f"{url}/sandbox/accounts", json=settings).status_code == 201
    return url


def test_a_story_is_triggered_from_the_command_line(url: str) -> None:
    arguments = ["ginger-nl", "paid", "--sandbox-url", url, "--json"]

    result = CliRunner().invoke(trigger, arguments)

    assert result.exit_code == 0
    order = json.loads(result.stdout)
    assert httpx.get(f"{url}/v1/orders/{order['provider_id']}/", auth=(KEY, "")).status_code == 200


def test_a_story_is_triggered_for_a_reference_and_an_amount(url: str) -> None:
    arguments = ["ginger-nl", "paid", "--sandbox-url", url, "--json"]

    result = CliRunner().invoke(trigger, [*arguments, "--reference", "INV-7", "--amount", "1234"])

    order = json.loads(result.stdout)
    shown = httpx.get(f"{url}/v1/orders/{order['provider_id']}/", auth=(KEY, "")).json()
    assert (shown["merchant_order_id"], shown["amount"]) == ("INV-7", 1234)


@pytest.mark.parametrize(("account", "story"), [("nobody", "paid"), ("ginger-nl", "gold")])
def test_an_unknown_account_or_story_is_not_found(url: str, account: str, story: str) -> None:
    with pytest.raises(NotFound, match="unknown"):
        trigger.main([account, story, "--sandbox-url", url], standalone_mode=False)


def test_without_a_sandbox_the_command_cannot_reach_it() -> None:
    with pytest.raises(Unavailable):
        trigger.main(["ginger-nl", "paid", "--sandbox-url", NOWHERE], standalone_mode=False)


@pytest.mark.parametrize("address", ["9000", ":9000", "127.0.0.1:high", "127.0.0.1:99999"])
def test_an_address_must_name_host_and_port(address: str) -> None:
    assert CliRunner().invoke(sandbox, ["--listen", address]).exit_code == 2


def test_an_address_in_use_is_a_usage_error(url: str) -> None:
    address = url.removeprefix("http://")

    assert CliRunner().invoke(sandbox, ["--listen", address]).exit_code == 2


def test_a_reset_breaks_the_connection_before_any_answer(url: str) -> None:
    httpx.post(f"{url}/sandbox/erp/behaviour", json={"reset_rate": 1})

    with pytest.raises(httpx.NetworkError):
        httpx.post(f"{url}/erp/hooks", content=b"{}")

    httpx.post(f"{url}/sandbox/erp/behaviour", json={})
    assert len(httpx.get(f"{url}/sandbox/erp/notifications").json()) == 1


def test_sigterm_ends_the_sandbox_with_exit_code_0(
    process: subprocess.Popen[str], url: str
) -> None:
    httpx.post(f"{url}/sandbox/accounts/ginger-nl/stories/paid_slowly")

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=10) == 0
