import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.cli.demo_api import (
    Amount,
    Arrival,
    Message,
    MessageData,
    State,
    Truth,
    Webhooks,
)
from service.cli.demo_checks import (
    check_sequence,
    check_told_once,
    check_webhooks,
    find_drift,
    order_standing,
)
from service.cli.demo_plan import (
    BREAKS,
    INTRODUCTIONS,
    NO_REQUESTS,
    UNTOLD,
    Introduction,
    Plan,
    PlannedRequest,
    parse_faults,
)
from service.cli.demo_processes import Child
from service.errors import Unavailable
from tests.cli.command import settled

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 90

# Each defect, and the check that has to find it.
FOUND_BY = {
    "drop-notification": "each_notification_once",
    "double-notification": "each_notification_once",
    "wrong-ledger": "state_equals_ledger",
    "skip-sweep": "state_equals_ledger",
    "refuse-webhooks": "webhooks_accepted",
}


def start_demo(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a demo whose temporary folder is made in folder."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "service.cli.main", "demo", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def demo_in(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a demo, which has ended after the block, whatever happened in it."""
    demo = start_demo(folder, *arguments)
    try:
        yield demo
    finally:
        demo.terminate()
        demo.communicate()


def until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def pids_of(folder: Path) -> list[int]:
    """Return the processes of the product once all have been started."""
    until(lambda: '"web"' in "".join(file.read_text() for file in folder.glob(PROCESSES)))
    (file,) = folder.glob(PROCESSES)
    return [process["pid"] for process in json.loads(file.read_text())]


PROCESSES = "settled-demo-*/data/processes.json"


def are_gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def told(number: int, sequence: int, *, subject: str = "prq_1") -> Message:
    data = MessageData(sequence=sequence, request_id=subject)
    return Message(id=f"ntf_{number}", data=data, sha256=f"hash of {number}")


def arrived(message: Message, **changes: Any) -> Arrival:
    ordinary = {
        "id": message.id,
        "received_at": datetime.now(UTC),
        "signature_valid": True,
        "body": message,
        "body_sha256": message.sha256,
    }
    return Arrival(**{**ordinary, **changes})


def truth(status: str, **others: Any) -> Truth:
    ordinary = {
        "account": "ginger-demo",
        "provider_id": "id",
        "reference": "INV-1",
        "received": 0,
        "refunded": 0,
        "taken_back": 0,
        "booked": 0,
        "final": True,
        "direction": "in",
    }
    return Truth(status=status, **{**ordinary, **others})


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """A demo for each defect, all side by side: each mostly waits for news that never comes."""
    arguments = ("--orders", "6", "--faults", "", "--json")
    demos = {
        name: start_demo(tmp_path_factory.mktemp(name), *arguments, "--break", name)
        for name in BREAKS
    }
    yield demos
    for demo in demos.values():
        demo.terminate()
        demo.communicate()


def test_a_demo_ends_well_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with demo_in(tmp_path, "--orders", "40", "--json") as demo:
        report, said = demo.communicate(timeout=SECONDS_MAX)

    shown = json.loads(report)
    assert (demo.returncode, shown["ok"]) == (0, True), said
    played = Counter({PlannedRequest(*name.split(".")): n for name, n in shown["stories"].items()})
    assert {request.provider for request in played} == set(INTRODUCTIONS)
    assert shown["requests"] == sum(played[each] for each in played if each not in NO_REQUESTS)
    assert (shown["orders"], shown["drift"]) == (40, 0)
    assert all(check["ok"] for check in shown["checks"].values())
    assert shown["notifications"] == shown["checks"]["each_notification_once"]["at_erp"] >= 80
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", BREAKS)
def test_each_planted_defect_is_found(broken: dict[str, subprocess.Popen[str]], name: str) -> None:
    report, said = broken[name].communicate(timeout=SECONDS_MAX)

    assert broken[name].returncode == 6, said
    shown = json.loads(report)
    assert (shown["ok"], shown["checks"][FOUND_BY[name]]["ok"]) == (False, False)


def test_a_demo_that_stays_can_be_asked_until_ctrl_c(tmp_path: Path) -> None:
    with demo_in(tmp_path, "--orders", "1", "--stay") as demo:
        assert demo.stderr is not None
        assert demo.stderr.readline().startswith("settled TEST: /")
        shown = {}
        while "Ctrl-C" not in (line := demo.stderr.readline()):
            assert line, "it ended too early"
            shown[line[:10].strip()] = line[10:].strip()

        login = {"authorization": f"Bearer {shown['API key']}"}
        answer = httpx.get(shown["API"], headers=login, trust_env=False)
        pids = pids_of(tmp_path)
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=SECONDS_MAX)

    assert answer.json()["data"][0]["reference"] == "INV-00001"
    assert demo.returncode == 0
    assert are_gone(pids)


def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    with demo_in(tmp_path, "--orders", "2000") as demo:
        pids = pids_of(tmp_path)

        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=SECONDS_MAX)

    assert demo.returncode == 130
    assert are_gone(pids)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_dies_ends_the_demo_at_once(tmp_path: Path) -> None:
    with demo_in(tmp_path, "--orders", "2000") as demo:
        pids = pids_of(tmp_path)
        sandbox = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()[0]

        os.kill(int(sandbox), signal.SIGKILL)
        _, said = demo.communicate(timeout=SECONDS_MAX)

    assert demo.returncode == 4
    assert "sandbox ended with -9" in said
    assert are_gone(pids)


async def test_a_process_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    child = Child("sandbox", [sys.executable, "-c", "exit('no room')"], tmp_path)

    with pytest.raises(Unavailable, match=r"sandbox ended with 1; it said:\nno room"):
        await child.wait_until_ready()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--faults", "drop=2"),
        ("--faults", "dropp=0.1"),
        ("--faults", "drop"),
        ("--faults", "drop=nan"),
        ("--faults", "drop=0.6,late=0.6"),
        ("--faults", "stale=0.6,error=0.6"),
        ("--faults", "drop=0.1,drop=0.2"),
        ("--orders", "0"),
    ],
)
def test_a_bad_option_is_a_usage_error(tmp_path: Path, arguments: tuple[str, str]) -> None:
    ended = settled("demo", *arguments, folder=tmp_path)

    assert ended.returncode == 2
    assert arguments[0] in ended.stderr


def test_an_unknown_defect_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    ended = settled("demo", "--break", "list", folder=tmp_path)

    assert ended.returncode == 2
    assert all(name in ended.stderr for name in BREAKS)


def test_faults_that_are_not_named_are_off() -> None:
    assert parse_faults("drop=0.2, late=1e-1") == {"drop": 0.2, "late": 0.1}
    assert parse_faults("drop=0.6,stale=0.6") == {"drop": 0.6, "stale": 0.6}
    assert parse_faults("") == {}


STORIES = {
    "ginger": ["paid", "expired", "refund", "link_created"],
    "gocardless": ["paid", "mandate_only"],
    "ing_payment_request": ["paid", "expired"],
    "payment_requests_v2": ["settled"],
}
PACK = [PlannedRequest(provider, name) for provider in STORIES for name in STORIES[provider]]


def test_every_story_is_played_before_any_comes_again() -> None:
    dealt = Plan(40, 1, {}).deal(STORIES)
    requests = [request for order in dealt for request in order.requests]

    assert len(dealt) == 40
    assert sorted(requests[: len(PACK)], key=repr) == sorted(PACK, key=repr)
    assert dealt == Plan(40, 1, {}).deal(STORIES) != Plan(40, 2, {}).deal(STORIES)


def test_what_nobody_can_tell_of_is_registered_and_what_is_none_of_the_erps_is_not() -> None:
    dealt = Plan(400, 1, {}).deal(STORIES)

    def introductions(fits: Callable[[PlannedRequest], bool]) -> set[Introduction]:
        return {order.introduction for order in dealt if any(map(fits, order.requests))}

    registered = {Introduction.WITH_REQUEST}
    assert introductions(lambda request: request in UNTOLD) == registered
    assert introductions(lambda request: request.provider == "ing_payment_request") == registered
    assert introductions(lambda request: request in NO_REQUESTS) == {Introduction.DISCOVERY}
    assert introductions(lambda request: request.provider == "payment_requests_v2") == {
        Introduction.TRACKED,
        Introduction.DISCOVERY,
    }
    assert {order.introduction for order in dealt} == set(Introduction)


def test_two_requests_of_one_order_are_at_two_providers_and_both_ask_for_money() -> None:
    shared = [order for order in Plan(400, 1, {}).deal(STORIES) if len(order.requests) > 1]

    assert shared
    for order in shared:
        assert len({request.provider for request in order.requests}) == 2
        assert "payment_requests_v2" not in {request.provider for request in order.requests}
        assert not NO_REQUESTS & set(order.requests)


@pytest.mark.parametrize(
    ("sequences", "holds"), [((1, 2, 3), True), ((2, 1), False), ((1, 3), False), ((2, 3), False)]
)
def test_first_arrivals_have_to_come_in_sequence(sequences: tuple[int, ...], holds: bool) -> None:
    messages = [told(number, sequence) for number, sequence in enumerate(sequences)]

    assert check_sequence([arrived(message) for message in messages]).ok is holds


def test_a_repeat_counts_neither_in_sequence_nor_as_another_notification() -> None:
    feed = [told(1, 1), told(2, 2)]
    arrivals = [arrived(feed[0]), arrived(feed[1]), arrived(feed[0])]

    assert check_sequence(arrivals).ok
    assert check_told_once(feed, arrivals).ok


@pytest.mark.parametrize(
    ("arrivals", "wrong"),
    [
        ([], "missing"),
        ([arrived(told(1, 1)), arrived(told(2, 2))], "unknown"),
        ([arrived(told(1, 1), body_sha256="another")], "altered"),
        ([arrived(told(1, 1), signature_valid=False)], "bad_signatures"),
        ([arrived(told(1, 1)), arrived(told(2, 1))], "told_under_two_ids"),
    ],
)
def test_whatever_differs_from_the_feed_is_counted(arrivals: list[Arrival], wrong: str) -> None:
    check = check_told_once([told(1, 1)], arrivals)

    assert not check.ok
    assert check.counts[wrong] == 1


@pytest.mark.parametrize(
    ("counts", "holds"),
    [({"refused": 1}, True), ({"refused": 10, "given_up": 1}, False), ({"waiting": 1}, False)],
)
def test_a_webhook_must_be_taken_in_the_end(counts: dict[str, int], holds: bool) -> None:
    quiet = dict.fromkeys(Webhooks.__struct_fields__, 0)

    assert check_webhooks(Webhooks(**{**quiet, **counts})).ok is holds


PAID, EXPIRED = truth("paid", received=4000), truth("expired")


@pytest.mark.parametrize(
    ("parts", "amount", "status"),
    [
        ([], 4000, "unpaid"),
        ([truth("open", final=False)], 4000, "unpaid"),
        ([truth("authorising", final=False), EXPIRED], 4000, "processing"),
        ([EXPIRED], None, "closed"),
        ([EXPIRED, truth("open", final=False)], 4000, "unpaid"),
        ([PAID, EXPIRED], 4000, "paid"),
        ([truth("settled", received=4000, booked=4000)], 4000, "settled"),
        ([truth("settled", received=4000, booked=4000)], None, "settled"),
        ([PAID, truth("settled", received=4000, booked=4000)], 8000, "paid"),
        ([PAID, PAID], 4000, "overpaid"),
        ([PAID, truth("reversed", received=4000, refunded=4000)], 4000, "paid"),
        ([truth("paid", received=8000)], None, "paid"),
        ([truth("part_paid", received=1000)], 4000, "part_paid"),
        ([truth("part_paid", received=1000)], None, "part_paid"),
        ([truth("paid", received=4000, refunded=1000)], 4000, "part_refunded"),
        ([truth("paid", received=4000, refunded=1000)], None, "paid"),
        ([truth("reversed", received=4000, refunded=4000)], 4000, "refunded"),
        ([truth("reversed", received=4000, refunded=4000, taken_back=1)], None, "reversed"),
    ],
)
def test_an_orders_status_follows_from_the_truth_about_its_requests(
    parts: list[Truth], amount: int | None, status: str
) -> None:
    assert order_standing(parts, amount=amount).status == status


def known(told: Truth, **others: Any) -> State:
    """What a product that knows the truth tells of a request."""
    amounts = {
        name: Amount(getattr(told, name))
        for name in ("received", "refunded", "taken_back", "booked")
    }
    ordinary = {
        "id": "prq_1",
        "status": told.status,
        "account": told.account,
        "reference": told.reference,
        "provider_id": told.provider_id,
        "final": told.final,
    }
    return State(**{**ordinary, **amounts, **others})


ORDER = known(PAID, id="ord_1", account="", provider_id="", final=None)


def test_nothing_drifts_where_the_product_knows_the_truth() -> None:
    assert find_drift([PAID], [known(PAID)], [ORDER], registered={"INV-1": 4000}) == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"status": "open"}, "request"),
        ({"final": False}, "request"),
        ({"booked": Amount(1)}, "request"),
        ({"account": "another"}, "request"),
    ],
)
def test_each_difference_about_a_request_is_drift(changes: dict[str, Any], what: str) -> None:
    drifting = find_drift([PAID], [known(PAID, **changes)], [ORDER], registered={})

    assert {drift.what for drift in drifting} == {what}


def test_an_order_that_the_product_does_not_know_or_invents_is_drift() -> None:
    invented = known(PAID, reference="INV-2", account="", provider_id="", final=None)

    drifting = find_drift([PAID], [known(PAID)], [invented], registered={})

    assert [(drift.reference, drift.what) for drift in drifting] == [
        ("INV-1", "order"),
        ("INV-2", "order"),
    ]


def test_outgoing_money_counts_for_no_order() -> None:
    sent = truth("settled", received=100, booked=100, reference=None, direction="out")

    assert find_drift([sent], [known(sent)], [], registered={}) == []
