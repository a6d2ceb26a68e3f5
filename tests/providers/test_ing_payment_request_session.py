"""ING over the wire, with its certificates and tokens as they are: what workers share of them."""

import asyncio
import datetime
import json
import ssl
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from service.domain.request import Kind, Observation
from service.errors import Unavailable
from service.fetch import ConnectedAccount, Fetched, Line, Purpose, fetch
from service.providers import Exchange, Session
from service.runtime import connect_accounts
from service.sessions import Sessions
from service.settings import parse
from service.storage.accounts import ensure_accounts
from service.storage.database import Pool
from service.wire import Wire
from tests.emptied import emptied as emptied
from tests.emptied import shared_url as shared_url
from tests.providers.ing_payment_request_bodies import (
    CLIENT,
    HERE,
    KEY,
    REQUEST,
    check_signature,
    digest_of,
    pem,
)
from tests.providers.world import recording

ANSWERS = {HERE: "get_fulfilled.json", f"{HERE}/payments": "payments_one.json"}


class Ing:
    """ING as far as a read needs it: gives tokens, and wants one of its own and a signature."""

    def __init__(self, *, signs: bool) -> None:
        self.signs = signs
        self.tokens = 0
        self.revoked = 0

    async def take(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if request.path == "/oauth2/token":
            return self._give_token(request, body)
        shown = request.headers["Authorization"].removeprefix("Bearer token")
        if int(shown) <= self.revoked:
            return web.Response(status=401)
        if self.signs:
            self._verify(request, body, request.headers["Signature"])
        return web.Response(body=recording("ing_payment_request", ANSWERS[request.path]))

    def _give_token(self, request: web.BaseRequest, body: bytes) -> web.Response:
        assert (b"client_id=" + CLIENT.encode() in body) is not self.signs
        if self.signs:
            style, value = request.headers["Authorization"].split(" ", 1)
            assert style == "Signature"
            self._verify(request, body, value)
        self.tokens += 1
        answer = {"access_token": f"token{self.tokens}", "expires_in": 900}
        return web.Response(body=json.dumps(answer).encode())

    def _verify(self, request: web.BaseRequest, body: bytes, signature: str) -> None:
        date, digest = request.headers["Date"], request.headers["Digest"]
        assert digest == digest_of(body)
        target = f"{request.method.lower()} {request.raw_path}"
        check_signature(signature, f"(request-target): {target}\ndate: {date}\ndigest: {digest}")


def certificate(folder: Path) -> Path:
    """Write a certificate for localhost that vouches for itself; it serves both sides."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(KEY.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - day).not_valid_after(now + day)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    signed = builder.add_extension(names, critical=False).sign(KEY, SHA256())
    path = folder / "tls.pem"
    path.write_bytes(signed.public_bytes(Encoding.PEM) + pem().encode())
    return path


@asynccontextmanager
async def served(
    ing: Ing, folder: Path, pool: Pool
) -> AsyncIterator[tuple[ConnectedAccount, Wire]]:
    """Lend an account, configured as in the file, whose provider wants to see a certificate."""
    file = certificate(folder)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=file)
    tls.load_cert_chain(file)
    tls.verify_mode = ssl.CERT_REQUIRED
    wire = Wire(check_addresses=False)
    runner = web.ServerRunner(web.Server(ing.take), shutdown_timeout=0.1)
    await runner.setup()
    async with pool.connection() as connection:
        await ensure_accounts(connection, [("ing", "ing_payment_request")], end_pauses=False)
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        account = configured(folder, port=runner.addresses[0][1], signs=ing.signs)
        assert account.tls is not None
        account.tls.load_verify_locations(file)
        yield account, wire
    finally:
        await wire.aclose()
        await runner.cleanup()


def configured(folder: Path, *, port: int, signs: bool) -> ConnectedAccount:
    """Return the account as the configuration makes it; signing_key_file is all that differs."""
    (folder / "sign.key").write_text(pem())
    table = tomllib.loads(f"""
        [settled]
        base_url = "https://pay.example.com"
        [[account]]
        name = "ing"
        provider = "ing_payment_request"
        api_base = "https://localhost:{port}"
        client_id = "{CLIENT}"
        tls_certificate_file = "tls.pem"
        tls_key_file = "tls.pem"
        {'signing_key_file = "sign.key"' if signs else ""}
        """)
    return connect_accounts(parse(table, source="s.toml", environ={}, base=folder))["ing"]


def worker(pool: Pool, wire: Wire) -> Line:
    """Return what one process reaches ING by."""

    async def draw(account: ConnectedAccount, purpose: Purpose) -> None:
        """There is always enough."""

    async def opening(account: ConnectedAccount, exchange: Exchange[Session]) -> Fetched[Session]:
        return await fetch(account, exchange, line=Line(wire, draw), purpose="told")

    return Line(wire, draw, Sessions(pool, opening))


async def received(account: ConnectedAccount, line: Line) -> int:
    exchange = account.provider.read(Kind.PAYMENT_REQUEST, REQUEST, None)
    answer = (await fetch(account, exchange, line=line, purpose="poll")).answer
    assert isinstance(answer, Observation)
    return answer.facts.received


async def time_passes(pool: Pool, seconds: int) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            """
            update sessions set opened_at = opened_at - make_interval(secs => %(by)s),
                   expires_at = expires_at - make_interval(secs => %(by)s),
                   leased_until = leased_until - make_interval(secs => %(by)s)
            """,
            {"by": seconds},
        )


@pytest.mark.parametrize("signs", [False, True])
async def test_workers_read_with_one_token_in_either_style(
    signs: bool, emptied: Pool, tmp_path: Path
) -> None:
    ing = Ing(signs=signs)
    async with served(ing, tmp_path, emptied) as (account, wire):
        workers = worker(emptied, wire), worker(emptied, wire)
        sums = await asyncio.gather(*(received(account, line) for line in workers * 3))

    assert sums == [12495] * 6
    assert ing.tokens == 1


async def test_a_token_is_renewed_before_its_900_seconds_are_over(
    emptied: Pool, tmp_path: Path
) -> None:
    ing = Ing(signs=False)
    async with served(ing, tmp_path, emptied) as (account, wire):
        await received(account, worker(emptied, wire))
        await time_passes(emptied, 800)
        await received(account, worker(emptied, wire))
        assert ing.tokens == 1

        await time_passes(emptied, 75)
        await received(account, worker(emptied, wire))
        assert ing.tokens == 2


async def test_a_token_that_is_refused_early_is_renewed_once(emptied: Pool, tmp_path: Path) -> None:
    ing = Ing(signs=True)
    async with served(ing, tmp_path, emptied) as (account, wire):
        line = worker(emptied, wire)
        await received(account, line)
        ing.revoked = 1
        await time_passes(emptied, 2)

        assert await received(account, line) == 12495
        assert ing.tokens == 2


async def test_without_the_certificate_nothing_is_answered(emptied: Pool, tmp_path: Path) -> None:
    ing = Ing(signs=False)
    async with served(ing, tmp_path, emptied) as (account, wire):
        trusting = ssl.create_default_context(cafile=tmp_path / "tls.pem")
        bare = ConnectedAccount(
            account.name, account.section, account.provider, account.limit, trusting
        )
        with pytest.raises(Unavailable):
            await received(bare, worker(emptied, wire))

    assert ing.tokens == 0
