"""Whether an endpoint can be reached, tried on real sockets and folders."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.flow.diagnose import Diagnosis
from service.flow.reach import ReachParts, reach
from service.settings import Endpoint, Secret
from service.wire import Wire
from tests.flow.surroundings import answers, listening

OUR_REDIS = "redis://ours"


@pytest.fixture
async def parts() -> AsyncIterator[ReachParts]:
    """What a try touches; of all servers only our own Redis answers a PING."""
    wires = {False: Wire(check_addresses=True), True: Wire(check_addresses=False)}
    yield ReachParts(wires, {}, lambda url: url == OUR_REDIS, OUR_REDIS)
    for wire in wires.values():
        await wire.aclose()


def webhook(url: str, *, allow_private: bool = True) -> Endpoint:
    secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    return Endpoint(name="erp", url=url, secrets=(secret,), allow_private=allow_private)


def files_in(folder: Path) -> Endpoint:
    return Endpoint(name="files", kind="file", folder=folder, format="jsonl")


def judged(found: Diagnosis) -> tuple[bool | None, bool, str]:
    return found.finding.ok, found.away, found.finding.detail


@pytest.mark.parametrize("status", [204, 404, 405, 503])
async def test_any_answer_to_a_head_will_do_and_no_message_is_sent(
    parts: ReachParts, status: int
) -> None:
    async with listening() as erp:
        erp.answering = answers(status)
        found = await reach(webhook(erp.url), parts=parts)

    assert found.finding.ok
    assert found.finding.detail.startswith(f"HEAD answered {status} in ")
    [arrival] = erp.arrivals
    assert arrival.body == b""
    assert not [name for name in arrival.headers if name.startswith("webhook-")]


async def test_an_erp_that_is_away_is_told_with_what_to_look_at(parts: ReachParts) -> None:
    found = await reach(webhook("http://127.0.0.1:1/"), parts=parts)
    unknown = await reach(webhook("http://erp.invalid/"), parts=parts)

    assert judged(found) == (False, True, "HEAD: connect_failed")
    assert "firewalls" in found.finding.remedy
    assert judged(unknown) == (False, True, "HEAD: name_not_resolved")
    assert "DNS" in unknown.finding.remedy


async def test_an_address_that_messages_may_not_go_to_is_a_fault(parts: ReachParts) -> None:
    async with listening() as erp:
        found = await reach(webhook(erp.url, allow_private=False), parts=parts)

    assert judged(found) == (False, False, "never connected to: address_not_public")
    assert "allow_private" in found.finding.remedy
    assert erp.arrivals == []


async def test_a_folder_has_to_be_there(parts: ReachParts, tmp_path: Path) -> None:
    there = await reach(files_in(tmp_path), parts=parts)
    gone = await reach(files_in(tmp_path / "no"), parts=parts)

    assert there.finding.ok
    assert os.listdir(tmp_path) == []
    assert judged(gone) == (False, False, f"{tmp_path / 'no'} is no folder")


async def test_a_stream_is_asked_for_by_a_ping(parts: ReachParts) -> None:
    theirs = Endpoint(name="s", kind="stream", stream="x", redis_url=Secret("redis://theirs"))

    ours = await reach(Endpoint(name="s", kind="stream", stream="x"), parts=parts)

    assert ours.finding.ok
    assert judged(await reach(theirs, parts=parts)) == (
        False, True, "its Redis does not answer a PING",
    )  # fmt: skip
