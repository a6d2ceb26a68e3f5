"""Bodies that are too long, of another length than they say, compressed, or hostile JSON."""

import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count

from tests.bench.processes import until
from tests.hostile.site import Site, hint, new_id, signed
from tests.hostile.told import Told, answer_to, connected, post, statuses_in
from tests.web.serving import status_of

REPEATED = 40
GROWTH_MB_MAX = 5.0  # source: RELIABILITY.md, T9
CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
SENT_BYTES_MAX = 64 * 1024 * 1024  # of a body without end, should nobody stop us
ORDER = "4c6afd74-0000-4000-8000-000000000001"


def oversized(site: Site) -> Iterator[Told]:
    """Send each kind often; the receiver must answer as it should and not grow."""
    head = f"POST {site.path('wide')} HTTP/1.1\r\nHost: settled\r\n".encode()
    bomb = gzip.compress(b"\0" * 10_000_000)
    calls: dict[str, tuple[bytes, list[int]]] = {
        "declared_10_gb": (head + b"Content-Length: 10000000000\r\n\r\n", [413]),
        "declared_endless_digits": (head + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n", [400]),
        "longer_than_declared": (head + b"Content-Length: 2\r\n\r\n" + b"{}" * 50, [400]),
        "compressed": (post(site.path("wide"), bomb, {"Content-Encoding": "gzip"}), [415]),
    }
    answer_to(site, calls["compressed"][0])  # what a first call costs is no growth
    for name, (call, expected) in calls.items():
        before, stored = site.resident_mb(), _events(site)
        answers = [statuses_in(answer_to(site, call)) for _ in range(REPEATED)]
        growth = site.resident_mb() - before
        kept = _events(site) - stored
        yield Told(
            f"body.{name}",
            all(answer == expected for answer in answers) and growth <= GROWTH_MB_MAX and not kept,
            {"calls": REPEATED, "answers": _distinct(answers), "stored": kept, "grew_mb": growth},
        )
    yield _endless(site, head)
    yield _shorter(site, head)


def _endless(site: Site, head: bytes) -> Told:
    """Chunks without end: what is taken of them is bounded, and none of it kept."""
    before, answers, taken = site.resident_mb(), [], 0
    for _ in range(REPEATED):
        with connected(site) as line, suppress(ConnectionError):
            line.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            sent = 0
            with suppress(ConnectionError):
                while sent < SENT_BYTES_MAX:
                    line.sendall(CHUNK)
                    sent += len(CHUNK)
            taken = max(taken, sent)
            answers.append([status_of(line.recv(65_536))])
    growth = site.resident_mb() - before
    return Told(
        "body.chunked_endless",
        taken < SENT_BYTES_MAX
        and growth <= GROWTH_MB_MAX
        and all(answer == [413] for answer in answers),
        {
            "calls": REPEATED,
            "answers": _distinct(answers),
            "largest_sent_mb": taken / 2**20,
            "grew_mb": growth,
        },
    )


def _shorter(site: Site, head: bytes) -> Told:
    """A body that ends before its length: nothing is stored, and its caller may come again."""
    stored = _events(site)
    answers = [statuses_in(answer_to(site, head + b"Content-Length: 900\r\n\r\n" + hint(new_id())))]
    kept = _events(site) - stored
    return Told(
        "body.shorter_than_declared",
        answers == [[503]] and not kept,
        {"calls": 1, "answers": _distinct(answers), "stored": kept},
    )


def _events(site: Site) -> int:
    return site.count("select count(*) from events")


def _distinct(answers: list[list[int]]) -> str:
    return ",".join(sorted({"+".join(map(str, answer)) or "none" for answer in answers}))


# What no strict reader takes, in place of one value of a call. Source: RELIABILITY.md, T14.
VALUES: Mapping[str, bytes] = {
    "nested_30000": b"[" * 30_000 + b"]" * 30_000,
    "nested_unclosed": b"[" * 60_000,
    "nested_objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "nan": b"NaN",
    "infinity": b"-Infinity",
    "huge_integer": b"9" * 50_000,
    "19_digits": b"9" * 19,
    "huge_exponent": b"1e400000",
    "lone_surrogate": b'"\\ud800"',
    "raw_surrogate": b'"\xed\xa0\x80"',
    "escaped_nul": b'"\\u0000"',
    "raw_nul": b'"\x00"',
    "invalid_utf8": b'"\xff\xfe"',
    "overlong_utf8": b'"\xc0\xaf"',
    "single_quotes": b"'a'",
    "comment": b"1 /* a */",
    "hexadecimal": b"0x7f",
    "leading_zero": b"007",
    "control_character": b'"\x1f"',
    "trailing_comma": b"[1,]",
}


def json_calls(site: Site) -> Iterator[tuple[str, bytes, int, int]]:
    """Yield hostile calls: a name, the bytes, the status that they must get, the events kept.

    GoCardless signs its bodies and sends many events in one: a hostile one is set aside, and the
    good one beside it goes on. Source: CONTRACT.md, section 4.
    """
    order = b'{"event": "status_changed", "order_id": "' + ORDER.encode() + b'", "note": %b}'
    numbers = count(1)
    for name, value in VALUES.items():
        yield name, post(site.path("wide"), order % value), 400, 0
        yield f"{name}.bank", post(site.path("bank"), b'{"NotificationUrl": %b}' % value), 400, 0
        number = next(numbers)
        events = b'{"events": [%b, {"id": "EV%04d", "note": %b}]}' % (_event(number), number, value)
        # A value that breaks the envelope itself, and not one item, is a broken call.
        status, kept = (400, 0) if name in BREAKS_ENVELOPE else (204, 2)
        yield f"{name}.signed", post(site.path("signed"), events, signed(events)), status, kept
    twice = b'{"event": "status_changed", "order_id": "a", "order_id": "' + ORDER.encode() + b'"}'
    yield "name_twice", post(site.path("wide"), twice), 400, 0
    mark = b"\xef\xbb\xbf" + hint(ORDER)
    yield "byte_order_mark", post(site.path("wide"), mark), 400, 0
    wide = hint(ORDER).decode().encode("utf-16")
    yield "utf_16", post(site.path("wide"), wide), 400, 0
    yield "two_values", post(site.path("wide"), hint(ORDER) * 2), 400, 0
    deep = b'{"events": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    yield "nested_100000.signed", post(site.path("signed"), deep, signed(deep)), 400, 0
    yield "empty", post(site.path("wide"), b""), 400, 0


# Where the text of an item does not even end, there is no list of items.
BREAKS_ENVELOPE = {
    *("nested_30000", "nested_unclosed", "nested_objects", "raw_surrogate", "invalid_utf8"),
    *("overlong_utf8", "single_quotes", "comment", "hexadecimal", "leading_zero", "raw_nul"),
    *("control_character", "trailing_comma"),
}


def _event(number: int) -> bytes:
    event = {
        "id": f"EVGOOD{number:04}",
        "created_at": "2026-11-20T14:30:59.000Z",
        "resource_type": "payments",
        "action": "confirmed",
        "links": {"payment": f"PM{number:010}"},
    }
    return json.dumps(event).encode()


def hostile_json(site: Site) -> Iterator[Told]:
    """Every hostile call gets its own answer, and nobody's process ends of it."""
    wrong, kept_wrong, calls = [], 0, 0
    for name, call, expected, kept in json_calls(site):
        stored = _events(site)
        answer = statuses_in(answer_to(site, call))
        calls += 1
        kept_wrong += _events(site) - stored != kept
        if answer != [expected]:
            wrong.append(f"{name}:{answer}")
    uncaught = site.uncaught()
    yield Told(
        "json.calls",
        not wrong and not kept_wrong and not uncaught,
        {
            "calls": calls,
            "wrong_answers": ",".join(wrong) or 0,
            "wrongly_stored": kept_wrong,
            "uncaught": uncaught,
        },
    )
    yield _hostile_answers(site)


def _hostile_answers(site: Site) -> Told:
    """A provider whose answers are hostile: each is kept to be read again, a good one goes on."""
    good, paid = new_id(), b'"status":"completed"'
    site.provider.pays(good)
    for name in VALUES:
        order_id = f"{new_id()}"
        site.provider.pays(order_id)
        answer = site.provider.answers[order_id]
        site.provider.answers[order_id] = answer.replace(paid, b'"status":' + VALUES[name], 1)
        site.register("wide", order_id)
    site.register("wide", good)
    with site.working():
        until(lambda: site.count(_FAILED) >= len(VALUES), "every hostile answer is read")
        until(lambda: site.count(_PAID, good) == 1, "the good one is read beside them")
    uncaught = site.uncaught()
    moved = site.count(_MOVED, good)
    return Told(
        "json.answers",
        not uncaught and not moved,
        {
            "answers": len(VALUES),
            "waiting": site.count(_FAILED),
            "moved": moved,
            "good_read": 1,
            "uncaught": uncaught,
        },
    )


_FAILED = "select count(*) from due where account = 'wide' and errors > 0"
_MOVED = (
    "select count(*) from requests where account = 'wide' and provider_id <> %s"
    " and (provider_status is not null or received > 0)"
)
_PAID = "select count(*) from requests where provider_id = %s and status = 'paid'"
