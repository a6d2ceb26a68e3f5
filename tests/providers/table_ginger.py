"""What each recording of Ginger must come to."""

import json

from service.domain.request import BelongsTo, Kind
from service.domain.status import Status
from service.errors import Unreadable
from service.registry import PROVIDERS
from service.settings import Secret
from tests.providers.world import Lists, Row, Seen, Told, World, recording

ORDER = "93101167-9065-4b9c-b98b-5d789a3ed9fe"
REFUND = "2199ba28-2dc6-4ab2-92ce-9da4fa66573f"
LINK = "b140a83f-b8e4-47ed-bf80-3f751e4a11ed"
ATTEMPTS = {
    "/v1/orders/a475a773-a7f4-469c-8deb-1d38eedabd99/": "order_attempt_error.json",
    "/v1/orders/90cf45cc-5c09-463f-9378-3ccde5d99791/": "order_attempt_expired.json",
    "/v1/orders/0c7e1f5a-2a7b-4c38-9f6e-7a4f2e9d1c03/": "order_attempt_completed.json",
}
ATTEMPT = Row(BelongsTo(Kind.PAYMENT_LINK, LINK))
TOLD = Row(Told(Kind.ORDER, ORDER))
NO_ORDER = Row(Unreadable, asked=ORDER)


def _saying(word: str) -> bytes:
    order = json.loads(recording("ginger", "order_completed.json"))
    return json.dumps({**order, "status": word}).encode()


GINGER = World(
    keys=PROVIDERS["ginger"].keys(
        api_base="https://api.psp.example",
        api_key=Secret("0123456789abcdef0123456789abcdef"),
        project_ids=(
            "405d8375-3514-403b-8c43-83ae74cfe0e9",
            "1ef558ed-d77d-470d-b43b-c0f4a131bcef",
        ),
    ),
    api_base="https://api.psp.example/v1/",
    kind=Kind.ORDER,
    known_id=ORDER,
    other_id=REFUND,
    wrong_ids=(
        "",
        "..",
        "../../v1/merchants/self",
        "93101167",
        ORDER + "\n",
        ORDER + "/",
        ORDER + "/../" + REFUND,
        ORDER + "?a=b",
        ORDER + "#",
        ORDER + "%2f..",
        "@evil.example/" + ORDER,
        " " + ORDER,
        ORDER.replace("-", ""),
        "{" + ORDER + "}",
        "urn:uuid:" + ORDER,
        ORDER.replace("9", "٩"),  # Arabic-indic nines
        ORDER.replace("9", "g"),
        ORDER.upper(),
    ),
    saying=_saying,
    rows={
        "webhook_new.json": TOLD,
        "webhook_processing.json": TOLD,
        "webhook_error.json": TOLD,
        "webhook_completed.json": TOLD,
        "webhook_cancelled.json": TOLD,
        "webhook_expired.json": TOLD,
        "webhook_without_order_status.json": TOLD,
        "webhook_transaction_status_changed.json": TOLD,
        "order_new.json": Row(Seen(Status.OPEN)),
        "order_new_reference_example.json": Row(Seen(Status.OPEN)),
        "order_processing.json": Row(Seen(Status.PROCESSING)),
        "order_processing_bank_transfer.json": Row(Seen(Status.OPEN)),
        "order_error.json": Row(Seen(Status.FAILED)),
        "create_order_response_payment_error.json": Row(Seen(Status.FAILED)),
        "order_cancelled.json": Row(Seen(Status.CANCELLED, final=True)),
        "order_expired.json": Row(Seen(Status.EXPIRED, final=True)),
        "order_completed.json": Row(Seen(Status.PAID, received=12495, final=True)),
        "order_completed_after_retry.json": Row(Seen(Status.PAID, received=12495, final=True)),
        "order_see_transactions.json": Row(Seen(Status.PART_PAID, received=5000)),
        "order_authorized_not_captured.json": Row(Seen(Status.ACCEPTED)),
        "order_captured_partially.assumed.json": Row(Seen(Status.PART_PAID, received=2500)),
        "order_captured_full.assumed.json": Row(Seen(Status.PAID, received=5000, final=True)),
        "order_voided.assumed.json": Row(Seen(Status.CANCELLED, final=True)),
        "order_partially_refunded.json": Row(
            Seen(Status.PAID, received=12495, refunded=2500, final=True),
            others={f"/v1/orders/{REFUND}/": "refund_response_order_shape.json"},
        ),
        "refund_response_order_shape.json": Row(BelongsTo(Kind.ORDER, ORDER)),
        # The compact shape names no project: it cannot be shown to be ours.
        "refund_response_compact.json": Row(Unreadable),
        "order_attempt_error.json": ATTEMPT,
        "order_attempt_expired.json": ATTEMPT,
        "order_attempt_completed.json": ATTEMPT,
        "payment_link_new.json": Row(Seen(Status.OPEN), kind=Kind.PAYMENT_LINK),
        "payment_link_all_unsuccessful.json": Row(
            Seen(Status.OPEN), kind=Kind.PAYMENT_LINK, others=ATTEMPTS
        ),
        "payment_link_completed.json": Row(
            Seen(Status.PAID, received=45000, final=True), kind=Kind.PAYMENT_LINK, others=ATTEMPTS
        ),
        # Its id is a placeholder: no brand is known whose links have other ids than UUIDs.
        "payment_link_completed_reference_example.json": Row(
            Unreadable, asked=LINK, kind=Kind.PAYMENT_LINK
        ),
        "refunds_list.json": Row(Lists((REFUND,))),
        "orders_list_empty.json": Row(Lists(())),
        "orders_list_reference_example.json": Row(
            Lists(
                (
                    "1c969951-f5f1-4290-ae41-6177961fb3cb",
                    "0125e02b-557c-4fb5-956a-d22662d71ad9",
                    "e4d22966-fbba-4753-ab89-b1ec9997171e",
                )
            )
        ),
        # The answer to a check, and enumerations: what is made of them is tested elsewhere.
        "currencies_per_method_response.json": NO_ORDER,
        "currencies.json": NO_ORDER,
        "statuses.json": NO_ORDER,
        # Errors are told by their HTTP status; as the answer to a read they are no order.
        "error_400_validation.json": NO_ORDER,
        "error_401.json": NO_ORDER,
        "error_401_flat.json": NO_ORDER,
        "error_403.json": NO_ORDER,
        "error_404.json": NO_ORDER,
        "error_412_if_match.assumed.json": NO_ORDER,
        "error_500.json": NO_ORDER,
    },
)
