"""Heads that flood, that two parsers read differently, and paths that are spelled oddly."""

from collections.abc import Iterator

from tests.hostile.bodies import GROWTH_MB_MAX
from tests.hostile.site import TOKEN, Site, hint, new_id
from tests.hostile.told import Told, answer_to, post, statuses_in

REPEATED = 20


def floods(site: Site) -> Iterator[Told]:
    """Heads of 200 kB, of 5 MB, and of 20,000 fields: refused, and forgotten."""
    head = f"POST {site.path('wide')} HTTP/1.1\r\nHost: settled\r\n".encode()
    fields = {
        "200_kb": b"X-Long: " + b"x" * 200_000 + b"\r\n",
        "5_mb": b"X-Long: " + b"x" * 5_000_000 + b"\r\n",
        "20000_fields": b"".join(b"X-%d: x\r\n" % number for number in range(20_000)),
        "long_name": b"x" * 200_000 + b": x\r\n",
    }
    answer_to(site, head + fields["5_mb"] + b"\r\n")
    for name, field in fields.items():
        before = site.resident_mb()
        answers = [statuses_in(answer_to(site, head + field + b"\r\n")) for _ in range(REPEATED)]
        growth = site.resident_mb() - before
        refused = sum(answer == [431] for answer in answers)
        yield Told(
            f"head.{name}",
            refused == REPEATED and growth <= GROWTH_MB_MAX,
            {"calls": REPEATED, "refused_431": refused, "grew_mb": growth},
        )


def malformed(site: Site) -> Iterator[Told]:
    """Whatever two parsers could read differently is refused, with all that hides behind it."""
    path = site.path("wide").encode()
    ends_with_smuggled = 0
    refused, stored = 0, site.count("select count(*) from events")
    requests = list(_malformed(path))
    for request in requests:
        # What stands behind it is a good call: whoever answers that has lost the thread.
        statuses = statuses_in(answer_to(site, request + post(site.path("wide"), hint(new_id()))))
        refused += statuses == [400]
        ends_with_smuggled += 204 in statuses
    kept = site.count("select count(*) from events") - stored
    yield Told(
        "head.malformed",
        refused == len(requests) and not ends_with_smuggled and not kept,
        {
            "requests": len(requests),
            "refused_and_closed": refused,
            "desync": ends_with_smuggled,
            "stored": kept,
        },
    )


def _malformed(path: bytes) -> Iterator[bytes]:
    line, host = b"POST " + path + b" HTTP/1.1\r\n", b"Host: settled\r\n"
    one, chunked = b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"
    body = b"\r\n0\r\n\r\n"
    yield line + b"Content-Length: 0\r\n\r\n"
    yield line + host + host + b"Content-Length: 0\r\n\r\n"
    yield line + host + one + chunked + body
    yield line + host + chunked + one + body
    yield line + host + one + one + b"\r\n12345"
    yield line + host + one + b"Content-Length: 6\r\n\r\n12345"
    yield line + host + b"Content-Length: 5, 5\r\n\r\n12345"
    yield line + host + b"Content-Length: +5\r\n\r\n12345"
    yield line + host + b"Content-Length: -5\r\n\r\n12345"
    yield line + host + b"Content-Length: 0x5\r\n\r\n12345"
    yield line + host + b"Content-Length : 5\r\n\r\n12345"
    yield line + host + b"Transfer-Encoding : chunked\r\n" + body
    yield line + host + b"Transfer-Encoding: xchunked\r\n" + body
    yield line + host + b"Transfer-Encoding: chunked, identity\r\n" + body
    yield line + host + chunked + b"Transfer-Encoding: identity\r\n" + body
    yield line + host + b"X: a\r\n" + b" Transfer-Encoding: chunked\r\n" + body
    yield line + host + b"X: a\x00b\r\n\r\n"
    yield line + host + b"X: a\rTransfer-Encoding: chunked\r\n" + body
    yield (line + host + one).replace(b"\r\n", b"\n") + b"\n12345"
    yield b"POST " + path + b"\r\n\r\n"
    yield b"POST  " + path + b" HTTP/1.1\r\n" + host + b"\r\n"
    yield b"POST " + path + b" HTTP/1.1 x\r\n" + host + b"\r\n"
    yield b"POST\t" + path + b"\tHTTP/1.1\r\n" + host + b"\r\n"
    yield line + host + chunked + b"\r\n5\n12345\n0\n\n"
    yield line + host + chunked + b"\r\n-5\r\n12345\r\n0\r\n\r\n"
    yield line + host + chunked + b"\r\n0x5\r\n12345\r\n0\r\n\r\n"


def paths(site: Site) -> Iterator[Told]:
    """Another spelling of a path is no path, or no account: nothing is stored, nobody is asked."""
    stored, asked = site.count("select count(*) from events"), len(site.provider.asked)
    elsewhere = site.provider.url
    unknown = _problem(answer_to(site, post("/webhooks/nobody", hint(new_id()))))
    spelled = list(_spellings(elsewhere))
    answers = [_problem(answer_to(site, post(path, hint(new_id())))) for path in spelled]
    same = sum(answer == unknown for answer in answers)
    kept = site.count("select count(*) from events") - stored
    leaving = len(site.provider.asked) - asked
    no_path = sum(answer != unknown and b" 404 " in answer[:16] for answer in answers)
    malformed_too = sum(b" 400 " in answer[:16] for answer in answers)
    yield Told(
        "paths",
        same + no_path + malformed_too == len(spelled) and not kept and not leaving,
        {
            "spellings": len(spelled),
            "404_as_unknown_account": same,
            "404_as_no_path": no_path,
            "malformed_400": malformed_too,
            "stored": kept,
            "calls_that_left": leaving,
        },
    )


def _spellings(elsewhere: str) -> Iterator[str]:
    right = f"/webhooks/wide/{TOKEN}"
    yield from (f"{right}/", f"{right}//", f"/{right}", f"{right}.", f"{right};x", f"{right};")
    yield from (f"/webhooks//wide/{TOKEN}", f"/webhooks/wide//{TOKEN}", f"/x/..{right}")
    yield from (f"/.{right}", f"/webhooks/./wide/{TOKEN}", f"/webhooks/../webhooks/wide/{TOKEN}")
    yield from (f"/webhooks/wide%2f{TOKEN}", f"/webhooks/wide%2F{TOKEN}", f"{right}%2f..")
    yield from (f"/webhooks/%77ide/{TOKEN}", f"%2fwebhooks/wide/{TOKEN}", f"{right}%00")
    yield from (f"{right}%0d%0aX: y", f"{right}%20", f"{right}%c0%af", f"{right}%")
    yield from (
        f"/webhooks/WIDE/{TOKEN}",
        f"/Webhooks/wide/{TOKEN}",
        f"/webhooks/wide/{TOKEN.upper()}",
    )
    yield from (f"/webhooks\\wide\\{TOKEN}", f"/webhooks/wide\\{TOKEN}", f"{right}\\")
    yield from (f"/webhooks/wide./{TOKEN}", f"/webhooks/wide;a=b/{TOKEN}", "/webhooks/..")
    yield from ("/webhooks", "/webhooks/", "/", "//", "/..", "/webhooks/wide", "/webhooks/wide/")
    yield from (f"/webhooks/wide/{TOKEN}\x00", f"/webhooks/wide\x00/{TOKEN}")
    yield from (f"/webhooks/wide/{TOKEN[:-1]}", f"/webhooks/wide/{TOKEN}x", "/webhooks/signed/x")
    yield from (f"{elsewhere}/webhooks/nobody", f"{elsewhere}//{right}")
    yield from (f"http://settled/x/..{right}", f"http://settled{right}/", f"//settled{right}")
    yield from (f"ftp://settled{right}x", f"wide/{TOKEN}", "*", f"?{right}", f"#{right}")


def _problem(answer: bytes) -> bytes:
    """Return an answer without the time of day, the only part that may differ."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"date:")]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
