"""Addresses of endpoints that lead inside, in every spelling: nobody is ever connected to."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from service.errors import AddressRefused, SettledError, Unavailable
from service.wire import Wire
from tests.hostile.told import Told

SECONDS_MAX = 5.0

# Loopback as people and resolvers spell it. Source: RELIABILITY.md, T16.
LOOPBACK = (
    *("127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "127.0.0.1.", "0x7f000001", "0x7F.1"),
    *("0x7f.0x0.0x0.0x1", "0177.0.0.1", "017700000001", "2130706433", "00000177.1", "0", "0.0.0.0"),
    *(
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
    ),
    *("[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]"),
    *("localhost", "LOCALHOST", "localhost.", "ip6-localhost", "\u2460\u2461\u2466.0.0.1"),
    *("127\u30020\u30020\u30021", "127.0.0.1%00", "%31%32%37.0.0.1", "[::1%25lo]"),
)
# Inside a network, or nowhere in particular. Source: RELIABILITY.md, A.6.
INSIDE = (
    *(
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
    ),
    *("192.168.0.1", "192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "0xa9fea9fe", "2852039166"),
    *("[fe80::1]", "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[2001:db8::1]"),
    *(
        "[100::1]",
        "[3fff::1]",
        "[5f00::1]",
        "[2001::1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
    ),
)
# What a URL may say besides.
SHAPES = (
    *("http://user@127.0.0.1:{port}/", "http://user:password@127.0.0.1:{port}/"),
    *("http://erp.example.com@127.0.0.1:{port}/", "http://127.0.0.1:{port}\\@erp.example.com/"),
    *("http://127.0.0.1:{port}#@erp.example.com/", "ftp://127.0.0.1:{port}/", "file:///etc/passwd"),
    *("gopher://127.0.0.1:{port}/", "ws://127.0.0.1:{port}/", "http:127.0.0.1:{port}"),
    *("http:///127.0.0.1:{port}/", "//127.0.0.1:{port}/", "http://[::1:{port}/"),
)


@dataclass
class Trap:
    """Listens on every address of this machine and counts who connects."""

    port: int = 0
    connections: int = 0


@contextmanager
def trap() -> Iterator[Trap]:
    """Set a trap while the block lasts, for IPv4 and IPv6."""
    set_up, ends = Trap(), threading.Event()
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        listener.settimeout(0.1)
        set_up.port = listener.getsockname()[1]

        def count() -> None:
            while not ends.is_set():
                try:
                    line, _ = listener.accept()
                except TimeoutError:
                    continue
                set_up.connections += 1
                line.close()

        thread = threading.Thread(target=count)
        thread.start()
        try:
            yield set_up
        finally:
            ends.set()
            thread.join()


def attack() -> Iterator[Told]:
    """Deliver to every address; whatever the spelling, it is refused before anybody connects."""
    with trap() as set_up:
        hosts = [f"http://{host}:{set_up.port}/" for host in (*LOOPBACK, *INSIDE)]
        urls = [*hosts, *(shape.replace("{port}", str(set_up.port)) for shape in SHAPES)]
        outcomes = asyncio.run(_call_all(urls))
        reached = set_up.connections
    refused = sum(outcome == "refused" for outcome in outcomes)
    no_name = sum(outcome == "no_such_name" for outcome in outcomes)
    yield Told(
        "addresses",
        not reached and refused + no_name == len(urls),
        {
            "urls": len(urls),
            "refused": refused,
            "no_such_name": no_name,
            "other": ",".join(sorted({*outcomes} - {"refused", "no_such_name"})) or 0,
            "connects_to_blocked": reached,
        },
    )


async def _call_all(urls: Sequence[str]) -> list[str]:
    wire = Wire(check_addresses=True)
    try:
        return [await _call(wire, url) for url in urls]
    finally:
        await wire.aclose()


async def _call(wire: Wire, url: str) -> str:
    try:
        request = httpx.Request("POST", url, content=b"{}")
    except httpx.InvalidURL:
        return "refused"
    try:
        await wire.send(request, total_seconds=SECONDS_MAX, body_bytes_max=1_024)
    except AddressRefused:
        return "refused"
    except Unavailable as error:
        return "no_such_name" if error.detail == "name_not_resolved" else f"{error.detail}:{url}"
    except SettledError as error:
        return f"{type(error).__name__}:{url}"
    return f"answered:{url}"
