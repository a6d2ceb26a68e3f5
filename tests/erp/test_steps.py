"""Following a recipe: once or twice, the ERP comes to the same state, or we say why not."""

import base64
import json
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.erp import Notification, Outcome
from service.erp.recipe import load_recipe
from service.erp.steps import RecipeOutlet
from service.errors import Unavailable
from service.settings import Endpoint, Secret
from service.settings.place import Place
from service.wire import Wire

AT = datetime(2026, 11, 20, tzinfo=UTC)
PASSWORD = "kept-to-ourselves"


class Tryton(Wire):
    """Payments behind JSON-RPC, as far as the recipe speaks with them."""

    def __init__(self, *payments: dict[str, Any]) -> None:
        super().__init__(check_addresses=False)
        self.payments = list(payments)
        self.requests: list[httpx.Request] = []
        self.broken: httpx.Response | None = None
        self.ignores_buttons = False

    @property
    def buttons(self) -> list[str]:
        """The buttons that were pressed."""
        methods = [json.loads(request.content)["method"] for request in self.requests]
        names = [method.rpartition(".")[2] for method in methods]
        return [name for name in names if name in ("succeed", "fail")]

    async def send(
        self,
        request: httpx.Request,
        *,
        total_seconds: float,
        body_bytes_max: int,
        truncate: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> httpx.Response:
        self.requests.append(request)
        if self.broken is not None:
            return self.broken
        call = json.loads(request.content)
        result = self._answer(call["method"].rpartition(".")[2], call["params"])
        return httpx.Response(200, json={"id": call["id"], "result": result}, request=request)

    def _answer(self, name: str, params: list[Any]) -> object:
        if name == "search_read":
            wanted = {field: value for field, _, value in params[0]}
            return [each for each in self.payments if each["reference"] == wanted["reference"]]
        [identifier] = params[0]
        [payment] = [each for each in self.payments if each["id"] == identifier]
        if name != "read" and not self.ignores_buttons:
            payment["state"] = {"succeed": "succeeded", "fail": "failed"}[name]
        return [payment] if name == "read" else None


def payment(state: str = "processing", amount: str = "40.00", **fields: Any) -> dict[str, Any]:
    decimal = {"__class__": "Decimal", "decimal": amount}
    return {"id": 7, "reference": "INV-1043", "state": state, "amount": decimal} | fields


def euros(decimal: str) -> dict[str, Any]:
    return {"currency": "EUR", "minor": 0, "exponent": 2, "decimal": decimal}


def message(status: str = "paid", **data: object) -> Notification:
    told = {"reference": "INV-1043", "status": status, "amount": euros("40.00")}
    told |= {"received": euros("40.00")}
    body = {"type": f"order.{status}", "id": "ntf_1", "timestamp": "t", "data": told | data}
    return Notification("ntf_1", f"order.{status}", json.dumps(body).encode())


def outlet_to(wire: Wire, recipe: str = "tryton-8", **keys: Any) -> RecipeOutlet:
    ordinary: dict[str, Any] = {
        "url": "http://127.0.0.1:8000",
        "book_at": "paid",
        "parameters": {"database": "books"},
        "user": "settled",
        "password": Secret(PASSWORD),
    }
    endpoint = Endpoint(name="erp", kind="recipe", recipe=recipe, **ordinary | keys)
    return RecipeOutlet(load_recipe(endpoint, folder=Path(), place=Place()), endpoint, wire)


async def told(
    wire: Wire, *messages: Notification, timeout_seconds: float = 20, **keys: Any
) -> list[Outcome]:
    outlet = outlet_to(wire, **keys)
    return [
        await outlet.take([each], at=AT, timeout_seconds=timeout_seconds)
        for each in messages or [message()]
    ]


async def outcome_of(wire: Wire, *messages: Notification, **keys: Any) -> tuple[str, str]:
    outcome = (await told(wire, *messages, **keys))[-1]
    return outcome.result, outcome.code


async def test_what_is_paid_succeeds_and_is_read_back() -> None:
    wire = Tryton(payment())

    assert await outcome_of(wire) == ("delivered", "done")
    assert wire.payments[0]["state"] == "succeeded"
    assert len(wire.requests) == 3


async def test_told_twice_the_button_is_pressed_once() -> None:
    wire = Tryton(payment())

    assert await outcome_of(wire, message(), message()) == ("delivered", "already_done")
    assert wire.buttons == ["succeed"]


async def test_a_charge_back_fails_it_and_a_later_payment_succeeds_again() -> None:
    wire = Tryton(payment())
    await told(wire, message("paid"), message("reversed"), message("settled"))

    assert wire.buttons == ["succeed", "fail", "succeed"]


@pytest.mark.parametrize(
    ("book_at", "status", "buttons"),
    [
        ("paid", "paid", ["succeed"]),
        ("paid", "settled", ["succeed"]),
        ("settled", "paid", []),
        ("settled", "settled", ["succeed"]),
        ("settled", "closed", ["fail"]),
        ("paid", "part_paid", []),
        ("paid", "refunded", []),
    ],
)
async def test_it_is_booked_when_the_endpoint_says(
    book_at: str, status: str, buttons: list[str]
) -> None:
    wire = Tryton(payment())
    outcome = await outcome_of(wire, message(status), book_at=book_at)

    assert outcome == ("delivered", "done" if buttons else "nothing_to_do")
    assert wire.buttons == buttons


async def test_a_type_that_is_nothing_to_the_recipe_asks_the_erp_nothing() -> None:
    wire = Tryton(payment())
    of_request = Notification("ntf_1", "payment_request.paid", message().body)

    assert await outcome_of(wire, of_request) == ("delivered", "not_concerned")
    assert wire.requests == []


@pytest.mark.parametrize(
    ("payments", "outcome"),
    [
        ([], ("retry", "payment_unknown")),
        ([payment(), payment()], ("dead", "payment_ambiguous")),
        ([payment(amount="40.01")], ("dead", "amount_differs")),
        ([payment("draft")], ("retry", "payment_not_processed")),
    ],
)
async def test_what_the_erp_has_is_compared_before_anything_is_done(
    payments: list[dict[str, Any]], outcome: tuple[str, str]
) -> None:
    wire = Tryton(*payments)

    assert await outcome_of(wire) == outcome
    assert wire.buttons == []


async def test_an_order_that_nobody_registered_is_compared_by_what_was_received() -> None:
    wire = Tryton(payment(amount="40.0"))

    assert await outcome_of(wire, message(amount=None)) == ("delivered", "done")
    short = message(amount=None, received=euros("39.99"))
    assert await outcome_of(Tryton(payment()), short) == ("dead", "amount_differs")


async def test_what_was_done_but_does_not_show_is_tried_again() -> None:
    wire = Tryton(payment())
    wire.ignores_buttons = True

    assert await outcome_of(wire) == ("retry", "not_verified")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (httpx.Response(401), ("hold", "http_401")),
        (httpx.Response(410), ("hold", "gone")),
        (httpx.Response(404), ("dead", "http_404")),
        (httpx.Response(503), ("retry", "http_503")),
        (httpx.Response(302), ("retry", "http_302")),
        (httpx.Response(200, content=b"<html>"), ("retry", "answer_unreadable")),
        (httpx.Response(200, content=b'"\\ud800"'), ("retry", "answer_unreadable")),
        (httpx.Response(200, content=b'{"error": "\xe9"}'), ("retry", "answer_unreadable")),
        (httpx.Response(200, content=b"[" * 60_000), ("retry", "answer_unreadable")),
        (httpx.Response(200, content=b"[1e-9999999999999999999]"), ("retry", "answer_unreadable")),
        (httpx.Response(200, content=b""), ("retry", "payment_unknown")),
        (httpx.Response(200, json={"error": ["no"]}), ("retry", "payment_unknown")),
    ],
)
async def test_an_answer_counts_as_it_does_for_a_webhook(
    answer: httpx.Response, outcome: tuple[str, str]
) -> None:
    wire = Tryton(payment())
    wire.broken = answer

    assert await outcome_of(wire) == outcome


async def test_an_address_in_the_own_network_is_refused_as_for_a_webhook() -> None:
    wire = Wire(check_addresses=True)

    assert await outcome_of(wire) == ("hold", "address_refused")
    await wire.aclose()


async def test_all_steps_together_have_the_endpoints_time_out() -> None:
    class Slow(Tryton):
        async def send(self, request: httpx.Request, **bounds: Any) -> httpx.Response:
            lefts.append(bounds["total_seconds"])
            if bounds["total_seconds"] <= 0:
                raise Unavailable("timeout")
            return await super().send(request, **bounds)

    lefts: list[float] = []
    await told(Slow(payment()), timeout_seconds=5)
    assert 5 >= lefts[0] > lefts[1] > lefts[2]

    assert await outcome_of(Slow(payment()), timeout_seconds=0) == ("retry", "timeout")


async def test_the_password_goes_into_a_header_and_is_shown_nowhere() -> None:
    wire = Tryton(payment())
    [outcome] = await told(wire)

    pairs = {base64.b64decode(each.headers["authorization"][6:]) for each in wire.requests}
    assert pairs == {f"settled:{PASSWORD}".encode()}
    assert PASSWORD not in repr(outcome)
    assert all(PASSWORD.encode() not in request.content for request in wire.requests)


async def test_an_erp_that_echoes_our_secrets_has_them_masked() -> None:
    wire = Tryton(payment())
    await told(wire)
    header = wire.requests[0].headers["authorization"]
    wire.broken = httpx.Response(500, text=f"{header} {PASSWORD} went wrong")
    [outcome] = await told(wire)

    assert outcome.excerpt == "Basic *** *** went wrong"


@pytest.mark.parametrize("password", [PASSWORD, 'two  "words"\u00e9 ', " "])
async def test_a_secret_is_masked_however_it_is_spelled_and_wherever_the_answer_is_cut(
    password: str,
) -> None:
    wire = Tryton(payment())
    for echoed in (password, json.dumps(password)[1:-1]):
        wire.broken = httpx.Response(500, content=b"." * 2040 + echoed.encode())
        [cut] = await told(wire, password=Secret(password))
        wire.broken = httpx.Response(500, content=b"<" + echoed.encode() + b">")
        [whole] = await told(wire, password=Secret(password))

        assert cut.excerpt == "." * 2040 + "***"
        assert whole.excerpt == "<***>"


async def test_a_secret_in_parts_that_do_not_print_is_masked_as_well() -> None:
    wire = Tryton(payment())
    wire.broken = httpx.Response(500, text=PASSWORD.replace("-", "-\x00"))
    [outcome] = await told(wire)

    assert outcome.excerpt == "***"


async def test_a_reference_from_outside_is_one_json_value_whatever_it_holds() -> None:
    hostile = '"]],0,9]}{password}\u2028/../\x00'
    wire = Tryton(payment(reference=hostile))

    assert await outcome_of(wire, message(reference=hostile)) == ("delivered", "done")


REST = """
about = "bills over REST"
types = ["order.*"]
authenticate = "bearer"
wanted = [{ statuses = ["paid"], values = { state = "open" } }]

[[step]]
name = "find"
method = "GET"
path = "/bills/{data.reference}"
query = { status = "{data.status}" }
headers = { x-bill = "{data.reference}" }
expect = [{ value = "{find.state}", equals = "{wanted.state}" }]
"""


async def test_what_an_earlier_answer_lacks_is_tried_again_and_what_the_message_lacks_is_not(
    tmp_path: Path,
) -> None:
    wire = Tryton()
    wire.broken = httpx.Response(200, json={"state": "open"})
    keys = {"recipe": str(tmp_path / "rest.toml"), "parameters": {}, "token": Secret("t")}
    more = '[[step]]\nname = "act"\npath = "/{%s}"'

    (tmp_path / "rest.toml").write_text(REST + more % "find.id")
    assert await outcome_of(wire, **keys) == ("retry", "answer_unexpected")
    (tmp_path / "rest.toml").write_text(REST + more % "data.request_id")
    assert await outcome_of(wire, **keys) == ("dead", "value_missing")


async def test_a_recipe_of_ones_own_calls_paths_that_no_value_leads_out_of(tmp_path: Path) -> None:
    (tmp_path / "rest.toml").write_text(REST)
    wire = Tryton()
    wire.broken = httpx.Response(200, json={"state": "open"})
    keys = {"recipe": str(tmp_path / "rest.toml"), "parameters": {}, "token": Secret("t")}

    sent = message(reference="../admin?x=1#y")
    assert await outcome_of(wire, sent, **keys) == ("delivered", "done")
    assert wire.requests[0].url.raw_path == b"/bills/..%2Fadmin%3Fx%3D1%23y?status=paid"
    assert wire.requests[0].headers["authorization"] == "Bearer t"
    assert wire.requests[0].headers["x-bill"] == "../admin?x=1#y"
    for refused in ("..", "", None, "a\r\nb", "\xe9", "x" * 9000):
        outcome = await outcome_of(wire, message(reference=refused), **keys)
        assert outcome == ("dead", "value_refused")
    assert len(wire.requests) == 1
