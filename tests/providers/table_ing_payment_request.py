"""What each recording of ING must come to.

The payments of a request are the `others` of its row.
"""

import json
from pathlib import Path

from service.domain.request import Kind
from service.domain.status import Status
from service.errors import Unreadable
from service.registry import PROVIDERS
from service.settings import Secret
from tests.providers.world import Row, Seen, World, recording

REQUEST = "xrgq1coyp1pnnfigiaaa6pqn1o9lc0gh"
SEVERAL_PAYERS = "q7k2m0zt4v9yb3h1c8d6f5s2a4e0x1lu"
NO_REQUEST = Row(Unreadable, asked=REQUEST)


def _saying(word: str) -> bytes:
    request = json.loads(recording("ing_payment_request", "get_open.json"))
    return json.dumps({**request, "status": word, "payments": []}).encode()


def _with(payments: str, expected: Seen, request: str = REQUEST) -> Row:
    return Row(expected, others={f"/payment-requests/{request}/payments": payments})


ING_PAYMENT_REQUEST = World(
    keys=PROVIDERS["ing_payment_request"].keys(
        api_base="https://api.ing.example",
        client_id=Secret("dc46e4b8-70aa-4da4-b74a-a2576680f004"),
        tls_certificate_file=Path("tls.pem"),
        tls_key_file=Path("tls.key"),
    ),
    api_base="https://api.ing.example/payment-requests/",
    kind=Kind.PAYMENT_REQUEST,
    known_id=REQUEST,
    other_id=SEVERAL_PAYERS,
    wrong_ids=(
        "",
        "..",
        "../registrations",
        REQUEST + "\n",
        REQUEST + "/",
        REQUEST + "/payments",
        REQUEST + "?a=b",
        REQUEST + "#",
        REQUEST + "%2f..",
        "@evil.example/" + REQUEST,
        " " + REQUEST,
        REQUEST[:16] + "-" + REQUEST[16:],
        REQUEST + "_",
        REQUEST.replace("1", "²"),  # a digit to Python, but none of ours
        REQUEST.replace("a", "ä"),
        "a" * 65,
    ),
    saying=_saying,
    rows={
        "get_open.json": _with("payments_none.json", Seen(Status.OPEN)),
        "get_fulfilled.json": _with(
            "payments_one.json", Seen(Status.PAID, received=12495, final=True)
        ),
        "get_fulfilled_with_deprecated_transactions.json": _with(
            "payments_none.json",
            Seen(Status.PROCESSING, attention=frozenset({"payments_not_visible"})),
        ),
        "get_expired.json": _with("payments_none.json", Seen(Status.EXPIRED, final=True)),
        "get_closed.json": _with("payments_none.json", Seen(Status.CANCELLED, final=True)),
        "get_open_multi_payer.json": _with(
            "payments_multiple.json", Seen(Status.PART_PAID, received=31000), SEVERAL_PAYERS
        ),
        # What is no payment request tells nothing about one.
        "create_response_201.json": NO_REQUEST,
        "payments_none.json": NO_REQUEST,
        "payments_one.json": NO_REQUEST,
        "payments_multiple.json": NO_REQUEST,
        "token_response.json": NO_REQUEST,
        "token_error_400.json": NO_REQUEST,
        "registration_get_active.json": NO_REQUEST,
        "registration_get_certificate_missing.json": NO_REQUEST,
        "registration_response_202.json": NO_REQUEST,
        "statuses.json": NO_REQUEST,
        "error_400.json": NO_REQUEST,
        "error_400_field.json": NO_REQUEST,
        "error_401.json": NO_REQUEST,
        "error_403.json": NO_REQUEST,
        "error_404.json": NO_REQUEST,
        "error_409_close.json": NO_REQUEST,
        "error_500.json": NO_REQUEST,
    },
)
