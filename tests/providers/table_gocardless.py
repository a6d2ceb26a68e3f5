"""What each recording of GoCardless must come to.

A payment is read by way of its billing request, and the past of one that ended badly by way of
its events: those are the `others` of its row.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping

from service.domain.request import Kind, NotOurs
from service.domain.status import Status
from service.errors import Unreadable
from service.registry import PROVIDERS
from service.settings import Secret
from tests.providers.world import Lists, Row, Seen, Told, World, recording

SECRET = "wh_test_Qk3v-Zr8T1nYw0sPdM5uXaLcB7eHfJgK2iOq"
BILLING_REQUEST = "BRQ0006K3VB4N71"
FALLEN_BACK = "BRQ0006K3VE2X6J"
WITH_MANDATE = "BRQ0006K3VC8T2Q"
MANDATE_ONLY = "BRQ0006K3VD5W9H"
IN_EUROS = "BRQ0006K3VG4Z8L"
PAYMENT = "PM009V7QX2M4TB"
FALLEN_BACK_PAYMENT = "PM009V7QZ5H3SD"

ERROR = Row(Unreadable, asked=BILLING_REQUEST)
TOLD = Row(Told(Kind.BILLING_REQUEST, BILLING_REQUEST))
TOLD_PAYMENT = Row(Told(Kind.PAYMENT, PAYMENT))


def _headers(body: bytes) -> Mapping[str, str]:
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {"webhook-signature": signature}


def _saying(word: str) -> bytes:
    answer = json.loads(recording("gocardless", "billing_request_pending.json"))
    answer["billing_requests"]["status"] = word
    return json.dumps(answer).encode()


def _asked(expected: Seen, billing_request: str = BILLING_REQUEST) -> Row:
    return Row(expected, asked=billing_request)


def _paying(expected: Seen, *, events: str | None = None) -> Row:
    """A payment of the fulfilled billing request."""
    others = {f"/billing_requests/{BILLING_REQUEST}": "billing_request_fulfilled.json"}
    if events:
        others[f"/events?payment={PAYMENT}&limit=250"] = events
    return Row(expected, asked=BILLING_REQUEST, others=others)


LATE_FAILURE = Row(
    Seen(Status.REVERSED, received=12500, refunded=12500, taken_back=12500, final=True),
    asked=FALLEN_BACK,
    others={
        f"/billing_requests/{FALLEN_BACK}": "billing_request_fulfilled_by_fallback.json",
        f"/payments/{FALLEN_BACK_PAYMENT}": "payment_failed_after_paid_out.json",
        f"/events?payment={FALLEN_BACK_PAYMENT}&limit=250": "events_of_late_failure.assumed.json",
    },
)

GOCARDLESS = World(
    keys=PROVIDERS["gocardless"].keys(
        api_base="https://api.psp.example",
        access_token=Secret("sandbox_0123456789abcdef"),
        webhook_secrets=(Secret(SECRET),),
    ),
    api_base="https://api.psp.example/",
    kind=Kind.BILLING_REQUEST,
    known_id=BILLING_REQUEST,
    other_id=FALLEN_BACK,
    wrong_ids=(
        "",
        "..",
        "BRQ",
        PAYMENT,
        BILLING_REQUEST.lower(),
        "../../payments/" + PAYMENT,
        BILLING_REQUEST + "\n",
        BILLING_REQUEST + "/",
        BILLING_REQUEST + "/actions/cancel",
        BILLING_REQUEST + "?a=b",
        BILLING_REQUEST + "#",
        BILLING_REQUEST + "%2f..",
        "@evil.example/" + BILLING_REQUEST,
        " " + BILLING_REQUEST,
        BILLING_REQUEST + "." + PAYMENT,
        BILLING_REQUEST.replace("6", "٦"),  # an Arabic-indic six
        BILLING_REQUEST + "é",
        "BRQ" + "0" * 98,
    ),
    saying=_saying,
    headers=_headers,
    rows={
        "webhook_billing_request_created.json": TOLD,
        "webhook_billing_request_fulfilled.json": TOLD,
        "webhook_billing_request_failed.json": TOLD,
        "webhook_bank_authorisation_denied.json": TOLD,
        "webhook_billing_request_cancelled.json": Row(
            Told(Kind.BILLING_REQUEST, "BRQ0006K3VF9Y3K")
        ),
        "webhook_unicode.json": Row(Told(Kind.BILLING_REQUEST, IN_EUROS)),
        "webhook_payment_confirmed.json": TOLD_PAYMENT,
        "webhook_payment_confirmed_without_meta.json": TOLD_PAYMENT,
        "webhook_payment_paid_out.json": TOLD_PAYMENT,
        "webhook_payment_failed.json": Row(Told(Kind.PAYMENT, FALLEN_BACK_PAYMENT)),
        "billing_request_pending.json": _asked(Seen(Status.OPEN)),
        "billing_request_pending_eur.json": _asked(Seen(Status.OPEN), IN_EUROS),
        "billing_request_pending_with_mandate.json": _asked(Seen(Status.OPEN), WITH_MANDATE),
        "billing_request_ready_to_fulfil.json": _asked(Seen(Status.AUTHORISING)),
        "billing_request_fulfilling.json": _asked(Seen(Status.AUTHORISING)),
        "billing_request_cancelled.json": _asked(
            Seen(Status.CANCELLED, final=True), "BRQ0006K3VF9Y3K"
        ),
        "billing_request_pending_mandate_only.json": Row(
            NotOurs("no_payment_part"), asked=MANDATE_ONLY
        ),
        "billing_request_fulfilled_mandate_only.json": Row(
            NotOurs("no_payment_part"), asked=MANDATE_ONLY
        ),
        "billing_request_fulfilled.json": Row(
            Seen(Status.PAID, received=12500),
            asked=BILLING_REQUEST,
            others={f"/payments/{PAYMENT}": "payment_confirmed.json"},
        ),
        "billing_request_fulfilled_payment_and_mandate.json": Row(
            Seen(Status.PROCESSING),
            asked=WITH_MANDATE,
            others={"/payments/PM009V7QY8K1RC": "payment_submitted_with_mandate.assumed.json"},
        ),
        "billing_request_fulfilled_by_fallback.json": LATE_FAILURE,
        "payment_pending_customer_approval.json": _paying(Seen(Status.AUTHORISING)),
        "payment_pending_submission.json": _paying(Seen(Status.ACCEPTED)),
        "payment_submitted.json": _paying(Seen(Status.PROCESSING)),
        "payment_confirmed.json": _paying(Seen(Status.PAID, received=12500)),
        "payment_confirmed_partially_refunded.json": _paying(
            Seen(Status.PAID, received=12500, refunded=2500)
        ),
        "payment_paid_out.json": _paying(Seen(Status.SETTLED, received=12500, final=True)),
        "payment_cancelled.json": _paying(Seen(Status.CANCELLED, final=True)),
        "payment_customer_approval_denied.json": _paying(Seen(Status.REJECTED, final=True)),
        "payment_failed.json": _paying(
            Seen(Status.FAILED, final=True), events="events_of_failed_payment.assumed.json"
        ),
        "payment_charged_back.json": _paying(
            Seen(Status.REVERSED, received=12500, refunded=12500, taken_back=12500, final=True),
            events="events_of_charged_back_payment.assumed.json",
        ),
        "payment_failed_after_paid_out.json": LATE_FAILURE,
        "payment_submitted_with_mandate.assumed.json": Row(
            Seen(Status.PROCESSING),
            asked=WITH_MANDATE,
            others={
                f"/billing_requests/{WITH_MANDATE}": (
                    "billing_request_fulfilled_payment_and_mandate.json"
                )
            },
        ),
        "events_list_page_1.json": Row(Lists((BILLING_REQUEST, *[PAYMENT] * 4))),
        "events_list_page_2.json": Row(Lists((BILLING_REQUEST,) * 5)),
        "events_list_page_3_last.json": Row(Lists((BILLING_REQUEST,) * 2)),
        "events_of_failed_payment.assumed.json": Row(Lists((PAYMENT,) * 3)),
        "events_of_late_failure.assumed.json": Row(Lists((FALLEN_BACK_PAYMENT,) * 3)),
        "events_of_charged_back_payment.assumed.json": Row(Lists((PAYMENT,) * 3)),
        # Lists of requests and payments are looked through in test_gocardless_lists.py; as the
        # answer to a read they are none, like the answers to calls that we do not make.
        "billing_request_flow_created.json": ERROR,
        "billing_requests_list_empty.json": ERROR,
        "billing_requests_list_page_1.json": ERROR,
        "billing_requests_list_page_2_last.json": ERROR,
        "payments_list_page_last.json": ERROR,
        "event.json": ERROR,
        # Errors are told by their HTTP status; as the answer to a read they are none either.
        "error_400_bad_request.json": ERROR,
        "error_401_unauthorized.json": ERROR,
        "error_403_insufficient_permissions.json": ERROR,
        "error_404_resource_not_found.json": ERROR,
        "error_409_idempotent_creation_conflict.json": ERROR,
        "error_422_invalid_state_cancellation_failed.json": ERROR,
        "error_422_validation_failed.json": ERROR,
        "error_429_rate_limit_exceeded.json": ERROR,
        "error_500_internal.json": ERROR,
        "error_string_error.json": ERROR,
    },
)
