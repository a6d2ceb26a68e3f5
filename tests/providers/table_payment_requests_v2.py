"""What each recording of the payment requests API, version 2, must come to.

Recordings named assumed_ say words that are not documented.
"""

import json

from service.domain.request import Kind
from service.domain.status import Status
from service.errors import Unreadable
from service.registry import PROVIDERS
from service.settings import Secret
from tests.providers.world import Lists, Row, Seen, World, recording

REQUEST = "41"
NO_REQUEST = Row(Unreadable, asked=REQUEST)
CREATED = Row(Seen(Status.CREATED))


def _saying(word: str) -> bytes:
    request = json.loads(recording("payment_requests_v2", "get_initiated_bare.json"))
    (transfer,) = request["transfers"]
    transfers = [{**transfer, "payment_status": word}]
    return json.dumps({**request, "payment_status": word, "transfers": transfers}).encode()


PAYMENT_REQUESTS_V2 = World(
    keys=PROVIDERS["payment_requests_v2"].keys(
        api_base="https://api.partner.example/api/v2",
        api_token=Secret("t0ken"),
        client_account_id=123,
    ),
    api_base="https://api.partner.example/api/v2/payment-requests/",
    kind=Kind.PAYMENT_REQUEST,
    known_id=REQUEST,
    other_id="99",
    wrong_ids=(
        "",
        "0",
        "041",
        "-41",
        "+41",
        "4.1",
        "4e1",
        "0x29",
        "..",
        "../users/me",
        "41\n",
        "41/",
        "41?client_account_id=7",
        "41#",
        "%34%31",
        "@evil.example/41",
        " 41",
        "٤١",  # Arabic-indic digits
        "9" * 19,
    ),
    saying=_saying,
    rows={
        "get_initiated_bare.json": CREATED,
        "get_initiated_wrapped.json": Row(Seen(Status.CREATED), asked=REQUEST),
        "get_international.json": CREATED,
        "get_no_transfer_date.json": CREATED,
        "get_two_transfers_initiated.json": CREATED,
        "get_with_relations.json": CREATED,
        "create_response.json": CREATED,
        "assumed_pending_approval.json": Row(Seen(Status.AUTHORISING)),
        "assumed_accepted_by_bank.json": Row(Seen(Status.ACCEPTED)),
        "assumed_completed.json": Row(Seen(Status.SETTLED, received=150000, final=True)),
        "assumed_mixed_transfers.json": Row(Seen(Status.PART_PAID, received=150000, final=True)),
        "assumed_rejected.json": Row(Seen(Status.REJECTED, final=True)),
        "assumed_failed.json": Row(Seen(Status.FAILED, final=True)),
        "assumed_cancelled.json": Row(Seen(Status.CANCELLED, final=True)),
        "page_1_of_3.json": Row(Lists(tuple(str(number) for number in range(100, 110)))),
        "page_empty.json": Row(Lists(())),
        # A page is no payment request, and what is no payment request tells nothing about one.
        "page_2_of_3.json": NO_REQUEST,
        "page_3_of_3.json": NO_REQUEST,
        "page_beyond_last.json": NO_REQUEST,
        "error_401.json": NO_REQUEST,
        "error_403.json": NO_REQUEST,
        "error_404.json": NO_REQUEST,
        "error_422.json": NO_REQUEST,
        "error_429.json": NO_REQUEST,
        "error_500.json": NO_REQUEST,
        # Several answers, one after the other: played in the tests.
        "poll_initiated_to_completed.json": NO_REQUEST,
        "poll_unchanged.json": NO_REQUEST,
    },
)
