"""Ids that somebody made up, by the thousand, and calls that somebody recorded."""

import json
import random
import time
from collections.abc import Iterator, Sequence

import httpx

from tests.bench.processes import until
from tests.hostile.site import NARROW, Site, hint, new_id, signed
from tests.hostile.told import Told

LIMIT_CALLS, LIMIT_SECONDS = 3, 3.0
# Calls leave on time; that they arrive a little closer together is the machine's doing.
JITTER_SECONDS = 0.1
# Genuine reads get nine calls in ten. Source: service/budget.py, DISCOVERY_SHARE.
GENUINE_SHARE = 0.9
DISCOVERY_SECONDS = 10.0  # a call for an id that nobody knows: one in ten, at a call a second
START_SECONDS = 15.0  # until the worker is there and has read for the first time
CAPTURES = 1_000

Capture = tuple[str, bytes, dict[str, str]]  # path, body and headers


def forged_ids(site: Site, forged: int, genuine: int) -> Iterator[Told]:
    """Post made-up ids and, among them, those of registered orders that have just been paid."""
    known = [new_id() for _ in range(genuine)]
    for order_id in known:
        site.provider.awaits(order_id)
        site.register("narrow", order_id)
    with site.working():
        until(lambda: site.count(_READ) == genuine, "every genuine order is read once")
    for order_id in known:
        site.provider.pays(order_id)
    calls = [*known, *(new_id() for _ in range(forged))]
    random.Random(1).shuffle(calls)
    site.provider.asked.clear()
    bound = START_SECONDS + genuine * LIMIT_SECONDS / LIMIT_CALLS / GENUINE_SHARE
    with site.working(NARROW):
        began = time.monotonic()
        refused = _post_all(site, "narrow", calls)
        posted = time.monotonic() - began
        until(lambda: site.count(_PAID) == genuine, "every genuine order is read", seconds=300)
        took = time.monotonic() - began
    yield _told_of_forged(site, known, forged, refused, posted, took, bound)


def _told_of_forged(
    site: Site,
    known: Sequence[str],
    forged: int,
    refused: int,
    posted: float,
    took: float,
    bound: float,
) -> Told:
    asked = site.provider.of("narrow")
    made_up = [each for each in asked if each.order_id and each.order_id not in known]
    genuine = [each for each in asked if each.order_id in known]
    densest = _most_in_a_window([each.at for each in asked])
    elapsed = asked[-1].at - asked[0].at
    share_max = elapsed / DISCOVERY_SECONDS + 1
    changes = site.count(
        "select count(*) from requests where account = 'narrow' and not provider_id = any(%s)",
        list(known),
    )
    return Told(
        "forged_ids",
        not refused
        and took <= posted + bound
        and densest <= LIMIT_CALLS
        and len(made_up) <= share_max
        and not changes,
        {
            "forged": forged,
            "genuine": len(known),
            "refused": refused,
            "posted_in_s": posted,
            "genuine_read_after_s": took,
            "bound_s": posted + bound,
            "calls": len(asked),
            "calls_for_genuine": len(genuine),
            "calls_for_lists": len(asked) - len(genuine) - len(made_up),
            "calls_for_forged": len(made_up),
            "calls_for_forged_max": share_max,
            "most_calls_in_3_s": densest,
            "state_changes_of_forged": changes,
        },
    )


_READ = "select count(*) from requests where account = 'narrow' and status = 'open'"
_PAID = "select count(*) from requests where account = 'narrow' and status = 'paid'"


def _most_in_a_window(times: Sequence[float]) -> int:
    """Return how many calls the busiest stretch of the limit's length held."""
    return max(
        sum(start <= at < start + LIMIT_SECONDS - JITTER_SECONDS for at in times) for start in times
    )


def _post_all(site: Site, account: str, order_ids: Sequence[str]) -> int:
    """Post a hint for each id on one kept connection; return how many were not taken."""
    with httpx.Client(base_url=site.url, trust_env=False, timeout=30.0) as client:
        return sum(
            client.post(site.path(account), content=hint(order_id)).status_code != 204
            for order_id in order_ids
        )


def replays(site: Site) -> Iterator[Told]:
    """Send calls once, let them be worked on, and send the very same bytes again."""
    paid = [new_id() for _ in range(10)]
    for order_id in paid:
        site.provider.pays(order_id)
        site.register("wide", order_id)
    hints: list[Capture] = [
        (site.path("wide"), hint(paid[number % 10]), {}) for number in range(CAPTURES // 2)
    ]
    events = [_event(number) for number in range(CAPTURES // 2)]
    captures = [*hints, *((site.path("signed"), body, signed(body)) for body in events)]
    with site.working():
        refused = _send(site, captures)
        until(lambda: site.count(_OPEN_WORK) == 0, "all is read")
        before, stored = _effects(site), site.count(_SIGNED)
        refused += _send(site, captures)
        until(lambda: site.count(_OPEN_WORK) == 0, "all is read again")
        after = _effects(site)
    second = sum(abs(now - then) for now, then in zip(after, before, strict=True))
    stored_twice = site.count(_SIGNED) - stored
    yield Told(
        "replays",
        not refused and not second and not stored_twice,
        {
            "captures": CAPTURES,
            "refused": refused,
            "second_effects": second,
            "signed_stored_twice": stored_twice,
        },
    )


def _event(number: int) -> bytes:
    event = {
        "id": f"EVCAPTURED{number:05}",
        "created_at": "2026-11-20T14:30:59.000Z",
        "resource_type": "mandates",
        "action": "created",
        "links": {"mandate": f"MD{number:010}"},
    }
    return json.dumps({"events": [event]}).encode()


def _send(site: Site, captures: Sequence[Capture]) -> int:
    with httpx.Client(base_url=site.url, trust_env=False, timeout=30.0) as client:
        return sum(
            client.post(path, content=body, headers=headers).status_code != 204
            for path, body, headers in captures
        )


_OPEN_WORK = "select count(*) from due where account = 'wide' and wanted > done and errors = 0"
_SIGNED = "select count(*) from events where account = 'signed'"


def _effects(site: Site) -> list[int]:
    """Count what a call may bring about: requests, their transitions, and what the ERP is told."""
    tables = ("requests", "transitions", "notifications", "orders")
    return [site.count(f"select count(*) from {table}") for table in tables]
