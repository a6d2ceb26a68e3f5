"""What each recording of bunq must come to.

Calls are recorded as they are sent, byte for byte. An accepted request is read together with the
payments since, which are the `others` of its row; a list with the callbacks that were given up.
"""

import json
from pathlib import Path

from service.domain.request import Kind
from service.domain.status import Status
from service.errors import Unreadable
from service.registry import PROVIDERS
from service.settings import Secret
from tests.providers.world import Lists, Row, Seen, Told, World, recording

USER_ID = 1912345
ACCOUNT_ID = 4419082
INQUIRY = "2025724"
BUNQME = "2025725"
LOWER = "2025726"
UNICODE = "2025727"

USER_PATH = f"/v1/user/{USER_ID}"
ACCOUNT_PATH = f"{USER_PATH}/monetary-account/{ACCOUNT_ID}"
PAYMENTS_PATH = f"{ACCOUNT_PATH}/payment?count=200"
FILTERS_PATH = f"{USER_PATH}/notification-filter-url"
FAILURES_PATH = f"{USER_PATH}/notification-filter-failure?count=100"

# One of two keys that were made for the samples and sign nothing else.
SERVER_KEY_FILE = Path(__file__).parents[1] / "vectors" / "bunq_server_public_key.pem"

PAID = {PAYMENTS_PATH: "payment_incoming_for_request.json"}
NO_FAILURES = {FAILURES_PATH: "request_inquiry_list_empty.json"}

TOLD = Row(Told(Kind.REQUEST_INQUIRY, INQUIRY))
UNNEEDED = Row(Told(None, None, "unneeded_object"))
# Errors are told by their HTTP status, other answers belong to other calls, and some recordings
# are bodies that we send; as the answer to a read they are no request.
NO_REQUEST = Row(Unreadable, asked=INQUIRY)
CANCELLED = Row(Seen(Status.CANCELLED, final=True), asked=INQUIRY)


def _saying(word: str) -> bytes:
    answer = json.loads(recording("bunq", "request_inquiry_accepted.json"))
    answer["Response"][0]["RequestInquiry"] |= {"status": word, "merchant_reference": None}
    return json.dumps(answer).encode()


BUNQ = World(
    keys=PROVIDERS["bunq"].keys(
        api_base="https://api.bunq.example/v1",
        api_key=Secret("sandbox_0123456789abcdef"),
        user_id=USER_ID,
        monetary_account_id=ACCOUNT_ID,
        server_public_key_file=SERVER_KEY_FILE,
    ),
    api_base=f"https://api.bunq.example{ACCOUNT_PATH}/",
    kind=Kind.REQUEST_INQUIRY,
    known_id=INQUIRY,
    other_id=BUNQME,
    wrong_ids=(
        "",
        "0",
        "-1",
        "+1",
        "01",
        "1.0",
        "1e3",
        "1_000",
        "..",
        f"../request-response/{INQUIRY}",
        f"{INQUIRY}\n",
        f"{INQUIRY}/",
        f"{INQUIRY}/../{BUNQME}",
        f"{INQUIRY}?count=1",
        f"{INQUIRY}#",
        f"{INQUIRY}%2f..",
        f"@evil.example/{INQUIRY}",
        f" {INQUIRY}",
        INQUIRY.replace("2", "٢"),  # Arabic-indic twos
        "9" * 19,
    ),
    saying=_saying,
    rows={
        "callback_request_inquiry_created.json": TOLD,
        "callback_request_inquiry_created_unicode.json": Row(Told(Kind.REQUEST_INQUIRY, UNICODE)),
        "callback_request_inquiry_accepted.json": TOLD,
        "callback_request_inquiry_rejected.json": TOLD,
        "callback_request_inquiry_revoked.json": TOLD,
        "callback_request_inquiry_expired.json": TOLD,
        "callback_request_response_created.json": Row(Told(None, None, "opposite_direction")),
        "callback_mutation_created.json": UNNEEDED,
        "callback_mutation_received.json": UNNEEDED,
        "callback_payment_received.json": UNNEEDED,
        "request_inquiry_pending.json": Row(Seen(Status.OPEN), asked=INQUIRY),
        "request_inquiry_pending_bunqme.json": Row(Seen(Status.OPEN), asked=BUNQME),
        "request_inquiry_pending_unicode.json": Row(Seen(Status.OPEN), asked=UNICODE),
        "request_inquiry_accepted.json": Row(
            Seen(Status.SETTLED, received=12500, final=True), asked=INQUIRY, others=PAID
        ),
        "request_inquiry_accepted_lower_amount.json": Row(
            Seen(Status.PART_PAID, received=10000, final=True), asked=LOWER, others=PAID
        ),
        "request_inquiry_rejected.json": Row(Seen(Status.REJECTED, final=True), asked=INQUIRY),
        "request_inquiry_revoked.json": CANCELLED,
        "request_inquiry_revoke_response.json": CANCELLED,
        "request_inquiry_expired.json": Row(Seen(Status.EXPIRED, final=True), asked=INQUIRY),
        "request_inquiry_list_empty.json": Row(Lists(()), others=NO_FAILURES),
        "request_inquiry_list_page_1_newest.json": Row(Lists((UNICODE, LOWER)), others=NO_FAILURES),
        "request_inquiry_list_page_2_oldest.json": Row(
            Lists((BUNQME, INQUIRY)), others=NO_FAILURES
        ),
        "request_inquiry_create_response.json": NO_REQUEST,
        "payment_incoming_for_request.json": NO_REQUEST,
        "payment_outgoing_refund.json": NO_REQUEST,
        "installation_request.json": NO_REQUEST,
        "device_server_request.json": NO_REQUEST,
        "session_server_request.json": NO_REQUEST,
        "notification_filter_failure_retry_request.json": NO_REQUEST,
        "installation_response.json": NO_REQUEST,
        "device_server_response.json": NO_REQUEST,
        "session_server_response.json": NO_REQUEST,
        "notification_filter_failure_list_response.json": NO_REQUEST,
        "notification_filter_url_response.json": NO_REQUEST,
        "error_400_duplicate_request_id.json": NO_REQUEST,
        "error_400_missing_field.json": NO_REQUEST,
        "error_400_two_errors.json": NO_REQUEST,
        "error_401_unauthorised.json": NO_REQUEST,
        "error_403_forbidden.json": NO_REQUEST,
        "error_404_not_found.json": NO_REQUEST,
        "error_405_method_not_allowed.json": NO_REQUEST,
        "error_429_rate_limit.json": NO_REQUEST,
        "error_466_signature_required.json": NO_REQUEST,
        "error_490_user_error.json": NO_REQUEST,
        "error_491_maintenance.json": NO_REQUEST,
        "error_500_internal.json": NO_REQUEST,
    },
)
