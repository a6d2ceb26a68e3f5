"""What an ERP answers, to a webhook and to the calls of a recipe, and recipes of anybody's own."""

import asyncio
import importlib.resources
import json
import math
import ssl
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, get_args

import httpx

from service.domain.lane import Result
from service.domain.retry import DELIVERY_WAITS, next_attempt_seconds
from service.erp import Outcome
from service.erp.recipe import STEPS_MAX, load_recipe
from service.erp.steps import RecipeOutlet
from service.erp.webhook import EXCERPT_BYTES_MAX, judge
from service.errors import AddressRefused, Misconfigured, SettledError, Unavailable, Unreadable
from service.settings import Endpoint, Secret
from service.settings.place import Place
from service.wire import Wire
from tests.erp.test_steps import AT, PASSWORD, REST, message, payment
from tests.fuzz.target import Target, joined, parts_of

HOST = "erp.example.com"
TOKEN = "token-kept-to-ourselves"
BUILT_IN = "tryton-8"

# How a call ends without an answer, chosen by the first byte of a part. Source: service/wire.py.
ENDS: Mapping[bytes, SettledError] = {
    b"\x01": Unavailable("timeout"),
    b"\x02": Unreadable("too_long"),
    b"\x03": AddressRefused("address_not_public"),
}

ANSWERS = [
    joined(b"204", b"", b""),
    joined(b"429", b"retry-after: 120", b'{"error": "slow down"}'),
    joined(b"503", b"Retry-After: Fri, 20 Nov 2026 14:31:02 GMT", b"<html>\r\n<b>\xe9</b>"),
    joined(b"410", b"retry-after: -1\nretry-after: 1e9", "Gönn\u2028".encode()),
]
HEADER_WORDS = [
    *(b"retry-after: ", b"\n", b"200", b"302", b"404", b"429", b"99999999999", b"GMT", b"-0000"),
    *(b"Fri, 20 Nov 2026 14:31:02", b"Fri, 31 Dec 9999 23:59:59 -1200", b"+2359", b"\xff", b"\x00"),
]


def _found(*payments: dict[str, Any]) -> bytes:
    return json.dumps({"id": 1, "result": payments}).encode()


PRESSED = b'{"id": 2, "result": null}'
TOLD = [
    joined(_found(payment()), PRESSED, _found(payment("succeeded"))),
    joined(_found(payment("succeeded"))),
    joined(_found(payment(), payment())),
    joined(_found(payment(amount="40.01"))),
    joined(_found(payment()), b'{"id": 2, "error": ["UserError", "no"]}'),
    joined(b"503\n" + f"Basic {PASSWORD} failed".encode()),
    joined(_found(payment()), b"\x01", b"\x02", b"\x03"),
]

# Whatever an answer holds goes on into a path, a query, a header and a body.
CHAINED = f"""{REST}
[[step]]
name = "act"
path = "/bills/{{find.id}}/close"
query = {{ version = "{{find.version}}" }}
headers = {{ x-etag = "{{find.etag}}" }}
body = {{ id = "{{find.id}}", lines = ["{{find.lines.0}}", 1.5], all = "{{find}}" }}
done_if = [
  {{ value = "{{act.state}}", among = ["closed", "{{find.state}}"] }},
  {{ value = "{{act.amount}}", numbers = ["{{data.amount.decimal}}", "{{find.amount}}"] }},
]
expect = [{{ value = "{{act.error}}", exists = false }}]
"""
BILL = {"state": "open", "id": 7, "version": 3, "etag": "a", "lines": [{"n": 1}], "amount": "40"}
BILLS = [
    joined(json.dumps(BILL).encode(), b'{"state": "closed", "amount": 40.00}'),
    joined(json.dumps(BILL | {"id": "B/7", "amount": 1e3}).encode(), b'{"error": null}'),
]


RECIPE_WORDS = [
    *(
        b"{data.reference}",
        b"{data.amount}",
        b"{find.id}",
        b"{wanted.state}",
        b"{token}",
        b"{",
        b"}",
    ),
    *(
        b"{find.lines.0}",
        b"{data.metadata.x}",
        b"\\u0000",
        b"\\u0001",
        b"\\u00e9",
        b"%2e",
        b"/..",
        b"//",
    ),
    *(b"\n[[step]]\n", b"name = ", b"path = ", b"body = ", b"1979-05-27", b"nan", b"1e400", b"[]"),
    *(b'method = "GET"\n', b'authenticate = "header"\n', b'header = "x"\n', b"order.*", b"[*"),
]


def _recipes() -> list[bytes]:
    """Recipes that ask for no parameters, as the endpoint here gives none."""
    built_in = importlib.resources.files("service.erp") / "recipes" / f"{BUILT_IN}.toml"
    whole = built_in.read_text("utf-8").replace('parameters = ["database"]', "")
    return [CHAINED.encode(), whole.replace("{parameters.database}", "books").encode()]


def targets() -> dict[str, Target]:
    return {
        "erp.webhook": Target(_webhook, ANSWERS, HEADER_WORDS),
        "erp.recipe": Target(_tryton, TOLD),
        "erp.recipe_of_ones_own": Target(_chained, BILLS),
        "erp.recipe_file": Target(_recipe_file, _recipes(), RECIPE_WORDS),
    }


def _webhook(data: bytes) -> None:
    """A status, header lines and a body come to an outcome that can be stored and waited for."""
    status, head, body, *_ = [*parts_of(data), b"", b"", b""]
    lines = [line.partition(b": ") for line in head.split(b"\n")]
    code = int(status) if status.isdigit() and len(status) == 3 else 500
    answer = httpx.Response(code, headers=[(name, value) for name, _, value in lines], content=body)
    outcome = judge(answer, duration_ms=1, now=AT)
    _check(outcome)
    for made in range(len(DELIVERY_WAITS)):
        asked = outcome.retry_after_seconds
        wait = next_attempt_seconds(made, retry_after_seconds=asked, jitter=0.5)
        assert wait is not None
        assert 0 <= wait <= 2 * max(DELIVERY_WAITS)


def _tryton(data: bytes) -> None:
    """Nothing counts as done but what the ERP itself said last."""
    wire, outcome = _follow(_kept(BUILT_IN), data)
    if outcome.result == "delivered":
        assert outcome.code in ("done", "already_done")
        last = json.loads(wire.answered)
        assert last["result"][0]["state"] == "succeeded"
    for request in wire.requests[1:]:
        assert json.loads(request.content)["method"].startswith("model.account.payment.")
        assert request.url.path == "/books/rpc/"


def _chained(data: bytes) -> None:
    wire, _ = _follow(_kept(str(_file("chained", CHAINED.encode()))), data)
    for request in wire.requests[1:]:
        assert len(request.url.raw_path.partition(b"?")[0].split(b"/")) == 4
        assert len(request.headers.get_list("x-etag")) == 1


def _recipe_file(data: bytes) -> None:
    """A recipe is refused by the name of its key, or can be followed whatever is answered."""
    with suppress(Misconfigured):
        outlet = _outlet(str(_file("own", data)))
        for answers in (BILLS[0], TOLD[0], b""):
            _follow(outlet, answers)


class Answers(Wire):
    """Answers with one part after the other, the last one for ever."""

    def __init__(self) -> None:
        super().__init__(check_addresses=False)
        self.parts: list[bytes] = []
        self.answered = b""
        self.requests: list[httpx.Request] = []

    async def send(
        self,
        request: httpx.Request,
        *,
        total_seconds: float,
        body_bytes_max: int,
        truncate: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> httpx.Response:
        part = self.parts[min(len(self.requests), len(self.parts) - 1)]
        self.requests.append(request)
        if (error := ENDS.get(part[:1])) is not None:
            raise error
        names_status = part[:3].isdigit() and part[3:4] == b"\n"
        code, content = (int(part[:3]), part[4:]) if names_status else (200, part)
        self.answered = content[:body_bytes_max]
        return httpx.Response(code, content=self.answered, request=request)


def _follow(outlet: tuple[RecipeOutlet, Answers], data: bytes) -> tuple[Answers, Outcome]:
    """Have a recipe tell of a payment; check all that it sent, and what it came to."""
    recipe, wire = outlet
    wire.parts, wire.requests = parts_of(data), []
    outcome = _runner().run(recipe.take([message()], at=AT, timeout_seconds=20.0))
    _check(outcome)
    assert len(wire.requests) <= STEPS_MAX
    for request in wire.requests:
        assert request.url.host == HOST
        assert json.loads(request.content or b"null") is not ...
    return wire, outcome


def _check(outcome: Outcome) -> None:
    """What an attempt came to can be stored and shown, and no key is in it."""
    assert outcome.result in get_args(Result)
    assert outcome.code.isascii()
    assert outcome.excerpt.isprintable()
    assert len(outcome.excerpt) <= EXCERPT_BYTES_MAX
    assert not any(secret in outcome.excerpt for secret in (PASSWORD, TOKEN))
    seconds = outcome.retry_after_seconds
    assert seconds is None or (seconds >= 0 and math.isfinite(seconds))


def _outlet(recipe: str) -> tuple[RecipeOutlet, Answers]:
    """What follows a recipe, and the ERP that it speaks with. Raises Misconfigured."""
    endpoint = Endpoint(
        name="erp",
        kind="recipe",
        recipe=recipe,
        url=f"https://{HOST}",
        book_at="paid",
        user="settled",
        password=Secret(PASSWORD),
        token=Secret(TOKEN),
        parameters={"database": "books"} if recipe == BUILT_IN else {},
    )
    wire = Answers()
    return RecipeOutlet(load_recipe(endpoint, folder=Path(), place=Place()), endpoint, wire), wire


_kept = cache(_outlet)


@cache
def _runner() -> asyncio.Runner:
    return asyncio.Runner()


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="settled-fuzz-"))


def _file(name: str, content: bytes) -> Path:
    path = _folder() / f"{name}.toml"
    path.write_bytes(content)
    return path
