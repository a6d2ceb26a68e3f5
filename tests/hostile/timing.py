"""Whether the time that a refusal takes tells anything, shown by statistics and not by one bound.

Two kinds of attempts are taken in turns, at random, so that whatever else the machine does falls
on both alike. effect is the chance that an attempt of the first kind takes longer than one of the
second: one half where time tells nothing. p is that of the Mann-Whitney test of the same samples.
A comparison that gives up at the first wrong byte is measured the same way, so that it is known
that these statistics would see one. Source: RELIABILITY.md, T8.
"""

import gc
import hashlib
import hmac
import http.client
import math
import pickle
import random
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from statistics import NormalDist, median
from typing import TypeVar

from service.domain.event import Call
from service.domain.signature import sign, verify
from service.errors import BadSignature, UnknownAccount
from service.fetch import ConnectedAccount
from service.flow.receive import admit
from service.providers import SendsWebhooks
from tests.hostile.site import SECRET, TOKEN, Site, hint, new_id
from tests.hostile.told import Told
from tests.providers.table import WORLDS
from tests.web.test_webhooks import accounts_of, settings_of

# One half, give or take ten times what 2 x 20,000 samples vary by (0.0029 each side of one half).
EFFECT_MAX = 0.03
# Over HTTP it takes one call in the dark to learn nothing: what is bound is what can be learnt.
EFFECT_HTTP_MAX = 0.05
CONTROL_EFFECT_MIN = 0.2

BODY = b'{"events": []}'
KEY = b"k" * 32
NOW = 1_763_649_062

Given = TypeVar("Given")


@dataclass(frozen=True)
class Compared:
    """What two samples come to; medians are in microseconds."""

    first_us: float
    second_us: float
    effect: float
    p: float


def compare(first: Sequence[float], second: Sequence[float]) -> Compared:
    """Compare two samples of seconds by their ranks, with ties counted half."""
    ordered = sorted(second)
    wins = sum(bisect_left(ordered, one) + bisect_right(ordered, one) for one in first) / 2
    effect = wins / (len(first) * len(second))
    deviation = math.sqrt((len(first) + len(second) + 1) / (12 * len(first) * len(second)))
    p = 2 * NormalDist().cdf(-abs(effect - 0.5) / deviation)
    return Compared(median(first) * 1e6, median(second) * 1e6, effect, p)


def alternated(
    attempt: Callable[[Given], object], first: Given, second: Given, each: int
) -> Compared:
    """Time an attempt with either thing given, each so many times, in an order that is drawn.

    One attempt serves both, and each time it is given a copy of its own: where code and data lie in
    memory is worth some ns in one process and the opposite in the next.
    """
    order = [0] * each + [1] * each
    random.Random(each).shuffle(order)
    copies = [_copy((first, second)[which]) for which in order]
    taken: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    gc.disable()
    for which, given in zip(order, copies, strict=True):
        began = time.perf_counter()
        attempt(given)
        taken[which].append(time.perf_counter() - began)
    gc.enable()
    return compare(*taken)


def _copy(given: Given) -> Given:
    """Return an equal thing that lies elsewhere; copy.copy returns a text itself."""
    copied: Given = pickle.loads(pickle.dumps(given))
    return copied


def in_process(each: int) -> Iterator[Told]:
    """Signatures that are wrong in their first byte against those wrong in their last."""
    for name, (attempt, right) in _verifications().items():
        found = alternated(attempt, _wrong_first(right), _wrong_last(right), each)
        yield _told(f"timing.{name}", found, each, EFFECT_MAX)
    right = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
    found = alternated(_leaks, _wrong_first(right), _wrong_last(right), each)
    yield Told(
        "timing.control",
        abs(found.effect - 0.5) >= CONTROL_EFFECT_MIN,
        {"samples": 2 * each, **_shown(found), "effect_away_min": f"{CONTROL_EFFECT_MIN:g}"},
    )


def over_http(site: Site, each: int) -> Iterator[Told]:
    """The same against a receiver, and an unknown account against a wrong path part."""
    right = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
    unknown, first, last = (
        _Posted(path, "", 404)
        for path in (
            f"/webhooks/nobody/{TOKEN}",
            f"/webhooks/wide/{_wrong_first(TOKEN)}",
            f"/webhooks/wide/{_wrong_last(TOKEN)}",
        )
    )
    pairs = {
        "http_unknown_account_vs_wrong_path_part": (unknown, first),
        "http_path_part_first_vs_last_byte": (first, last),
        "http_signature_first_vs_last_byte": (
            _Posted("/webhooks/signed", _wrong_first(right), 498),
            _Posted("/webhooks/signed", _wrong_last(right), 498),
        ),
    }
    for name, (one, other) in pairs.items():
        found = alternated(partial(_post, site), one, other, each)
        yield _told(f"timing.{name}", found, each, EFFECT_HTTP_MAX)


def _told(name: str, found: Compared, each: int, effect_max: float) -> Told:
    return Told(
        name,
        abs(found.effect - 0.5) <= effect_max,
        {"samples": 2 * each, **_shown(found), "effect_away_max": f"{effect_max:g}"},
    )


def _shown(found: Compared) -> dict[str, str]:
    return {
        "median_first_us": f"{found.first_us:.2f}",
        "median_second_us": f"{found.second_us:.2f}",
        "effect": f"{found.effect:.4f}",
        "mann_whitney_p": f"{found.p:.3f}",
    }


def _wrong_first(text: str) -> str:
    return ("1" if text[0] == "0" else "0") + text[1:]


def _wrong_last(text: str) -> str:
    return text[:-1] + ("1" if text[-1] == "0" else "0")


def _verifications() -> dict[str, tuple[Callable[[str], object], str]]:
    """Return what is tried with a wrong text, and the right one."""
    gocardless = WORLDS["gocardless"].adapter("gocardless")
    assert isinstance(gocardless, SendsWebhooks)
    item = sign([KEY], notification_id="ntf_1", timestamp=NOW, body=BODY)
    # Behind the last character stands the padding, before the first the version.
    return {
        "gocardless_signature": (
            partial(_refused, gocardless),
            dict(WORLDS["gocardless"].headers(BODY))["webhook-signature"],
        ),
        "standard_webhooks_signature": (_unverified, item.removeprefix("v1,").removesuffix("=")),
        "path_part": (partial(_unknown, accounts_of(settings_of()), "ginger-nl"), TOKEN),
    }


def _refused(adapter: SendsWebhooks, signature: str) -> None:
    call = Call({"webhook-signature": signature}, BODY, received_at=datetime.now(UTC))
    try:
        adapter.verify(call)
    except BadSignature:
        return
    raise AssertionError("a wrong signature was taken")


def _unverified(signature: str) -> None:
    headers = [
        ("webhook-id", "ntf_1"),
        ("webhook-timestamp", str(NOW)),
        ("webhook-signature", f"v1,{signature}="),
    ]
    assert not verify([KEY], headers=headers, body=BODY, now=NOW)


def _unknown(accounts: Mapping[str, ConnectedAccount], account: str, token: str) -> None:
    try:
        admit(account, token=token, source="127.0.0.1", accounts=accounts)
    except UnknownAccount:
        return
    raise AssertionError("a wrong path part was taken")


def _leaks(given: str) -> bool:
    """Compare as what gives up at the first wrong byte."""
    expected = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
    return all(one == other for one, other in zip(expected, given, strict=True))


@dataclass(frozen=True)
class _Posted:
    """A call and the status that it has to be answered with."""

    path: str
    signature: str
    status: int


def _post(site: Site, call: _Posted) -> None:
    line = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10.0)
    headers = {"Webhook-Signature": call.signature} if call.signature else {}
    line.request("POST", call.path, body=hint(new_id()), headers=headers)
    answer = line.getresponse()
    answer.read()
    line.close()
    assert answer.status == call.status, answer.status
