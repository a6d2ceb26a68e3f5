"""The one HTTP transport: calls to providers and calls to the ERP.

httpx.Request in, httpx.Response out, with aiohttp's client as the engine. What a hostile or broken
peer could do to us is bounded here and nowhere else: the total time of a call, the bytes of its
headers and body, the addresses it may lead to. Nothing comes from the environment (proxy, .netrc,
certificates), no cookie is kept, no redirect followed, nothing decompressed. The request target
goes out byte for byte as the request has it, because some providers want it signed.
"""

import asyncio
import socket
import ssl
from importlib.metadata import PackageNotFoundError, version
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from service.errors import AddressRefused, SettledError, Unavailable, Unreadable

CONNECT_SECONDS_MAX: Final = 5.0
HEADER_LINE_BYTES_MAX: Final = 8190
HEADER_FIELDS_MAX: Final = 100
DISCARD_PORT: Final = 9

# Dropped from every answer: what we hand on is never encoded, and httpx would decode it again.
CONTENT_ENCODING: Final = b"content-encoding"

# Everything that is not the public internet. Source: RELIABILITY.md, A.6.
DENIED_IPV4: Final = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
ALLOWED_IPV6: Final = ip_network("2000::/3")
DENIED_WITHIN_ALLOWED_IPV6: Final = tuple(
    ip_network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)

Address = IPv4Address | IPv6Address


def is_public(address: Address) -> bool:
    """Return whether address may be reached on behalf of a configured URL.

    IPv4 inside IPv6 (::ffff:0:0/96) is judged as IPv4; every other way of wrapping it (NAT64,
    6to4, Teredo, compatible) is refused. Source: RELIABILITY.md, A.6; `is_global` lets most of
    those through.
    """
    address = unwrapped(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in DENIED_IPV4)
    return address in ALLOWED_IPV6 and not any(
        address in network for network in DENIED_WITHIN_ALLOWED_IPV6
    )


def is_own(address: Address) -> bool:
    """Return whether this machine has the address itself.

    The kernel says so without sending anything: it would talk to its own address from there.
    """
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), DISCARD_PORT))
            return ip_address(probe.getsockname()[0]) == address
    except OSError:  # Nothing leads there, so a call will not get there either.
        return False


def unwrapped(address: Address) -> Address:
    """Return the IPv4 address inside a mapped IPv6 address, else address itself."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class Wire:
    """A pool of kept connections for one kind of party; belongs to the loop of its first call.

    With check_addresses only public addresses, less our own and extra_denied, are ever connected
    to: every answer of a name look-up is checked, and again the very address of each connection,
    so that a literal and a name that changes its mind are caught too. tls defaults to certifi's
    roots. connect_seconds bounds connecting and the handshake, within the time of a call.
    """

    def __init__(
        self,
        *,
        check_addresses: bool,
        connections_per_host: int = 100,
        tls: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
        extra_denied: frozenset[Address] = frozenset(),
        connect_seconds: float = CONNECT_SECONDS_MAX,
    ) -> None:
        self._connect_seconds = connect_seconds
        self._gate = _Gate(extra_denied) if check_addresses else None
        self._connections_per_host = connections_per_host
        self._tls = tls
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self,
        request: httpx.Request,
        *,
        total_seconds: float,
        body_bytes_max: int,
        truncate: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> httpx.Response:
        """Send the request once and return the answer, read in full.

        tls replaces the pool's own where a party wants to see a certificate.

        total_seconds bounds all of it: waiting for a connection, looking up, connecting, sending,
        reading. With truncate only the status matters: a body over body_bytes_max is cut there,
        a compressed one dropped; without it either is Unreadable. Raises Unavailable with a code
        as its detail, Unreadable or AddressRefused. An idempotent call whose connection the peer
        closes without an answer goes out once more, which heals kept connections grown stale.
        """
        url = _target(request)
        self._session = self._session or self._new_session()
        try:
            async with (
                asyncio.timeout(total_seconds),
                self._session.request(
                    request.method,
                    url,
                    headers=_headers(request),
                    data=request.content or None,
                    allow_redirects=False,
                    ssl=tls or True,
                ) as answer,
            ):
                body = await _body(answer, bytes_max=body_bytes_max, truncate=truncate)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _translated(error) from error
        headers = [field for field in answer.raw_headers if field[0].lower() != CONTENT_ENCODING]
        return httpx.Response(answer.status, headers=headers, content=body, request=request)

    async def aclose(self) -> None:
        """Close the kept connections; calls under way fail as Unavailable."""
        if self._session is not None:
            await self._session.close()

    def _new_session(self) -> aiohttp.ClientSession:
        resolver = self._resolver or aiohttp.ThreadedResolver()
        connector = aiohttp.TCPConnector(
            ssl=self._tls or httpx.create_ssl_context(trust_env=False),
            resolver=_CheckedResolver(resolver, self._gate) if self._gate else resolver,
            socket_factory=self._gate.open_socket if self._gate else None,
            limit=0,
            limit_per_host=self._connections_per_host,
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=HEADER_LINE_BYTES_MAX,
            max_field_size=HEADER_LINE_BYTES_MAX,
            max_headers=HEADER_FIELDS_MAX,
        )


def _target(request: httpx.Request) -> URL:
    """Return the URL as the engine takes it, without rewriting a byte of its path."""
    if request.url.scheme not in ("http", "https") or request.url.userinfo:
        raise AddressRefused("url_refused")
    return URL(str(request.url), encoded=True)


def _headers(request: httpx.Request) -> list[tuple[str, str]]:
    own = [
        (name.decode("ascii"), value.decode("latin-1"))
        for name, value in request.headers.raw
        if name.lower() not in (b"user-agent", b"accept-encoding")
    ]
    return [*own, ("User-Agent", USER_AGENT), ("Accept-Encoding", "identity")]


async def _body(answer: aiohttp.ClientResponse, *, bytes_max: int, truncate: bool) -> bytes:
    """Read the raw body, at most bytes_max. Leaving with a rest unread closes the connection."""
    encodings = {value.lower() for value in answer.headers.getall("Content-Encoding", ())}
    if not encodings <= {"identity"}:
        if truncate:
            return b""
        raise Unreadable("compressed")
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > bytes_max:
            if truncate:
                break
            raise Unreadable("too_long")
    return bytes(body[:bytes_max])


def _translated(error: aiohttp.ClientError | TimeoutError) -> SettledError:
    """Return our error for the engine's; its detail is a code and never the peer's words."""
    match error:
        case TimeoutError():
            return Unavailable("timeout")
        case aiohttp.ClientConnectorError(os_error=_Denied()):
            return AddressRefused("address_not_public")
        case aiohttp.InvalidURL():
            return AddressRefused("url_refused")
        case aiohttp.ClientSSLError():
            return Unavailable("tls_failed")
        case aiohttp.ClientConnectorDNSError():
            return Unavailable("name_not_resolved")
        case aiohttp.ClientConnectorError():
            return Unavailable("connect_failed")
        case aiohttp.ClientConnectionError():
            return Unavailable("connection_lost")
        case _:
            return Unavailable("protocol_error")


class _Denied(OSError):
    """The address must not be connected to; an OSError, so that the engine passes it on."""


class _Gate:
    """Lets public addresses through, less the extra denied ones."""

    def __init__(self, extra_denied: frozenset[Address]) -> None:
        self._extra_denied = frozenset(unwrapped(address) for address in extra_denied)

    def check(self, text: str) -> None:
        """Raise _Denied unless text is an address that may be connected to."""
        try:
            address = ip_address(text)
        except ValueError as error:
            raise _Denied from error
        address = unwrapped(address)
        if not is_public(address) or address in self._extra_denied or is_own(address):
            raise _Denied

    def open_socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Open the socket for a connection to an address that passes; none for another."""
        family, kind, protocol, _, address = info
        self.check(str(address[0]))
        return socket.socket(family=family, type=kind, proto=protocol)


class _CheckedResolver(AbstractResolver):
    """Looks names up; one denied answer among many refuses them all."""

    def __init__(self, inner: AbstractResolver, gate: _Gate) -> None:
        self._inner = inner
        self._gate = gate

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        answers = await self._inner.resolve(host, port, family)
        for answer in answers:
            self._gate.check(answer["host"])
        return answers

    async def close(self) -> None:
        await self._inner.close()


def _own_version() -> str:
    try:
        return version("settled")
    except PackageNotFoundError:  # A source tree that was never installed.
        return "0"


USER_AGENT: Final = f"settled/{_own_version()}"
