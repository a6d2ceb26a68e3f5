"""bunq: what its calls name, and which are refused."""

import base64
from pathlib import Path

import pytest

from service.errors import (
    Malformed,
)
from tests.providers.bunq_bodies import (
    VECTORS,
    bunq,
    call_about,
    call_about_inquiry,
    verify,
)
from tests.providers.table_bunq import (
    ACCOUNT_ID,
    INQUIRY,
    SERVER_KEY_FILE,
)


def test_a_call_about_another_account_is_set_aside() -> None:
    assert verify(call_about_inquiry(monetary_account_id=1)).reason == "foreign_account"


@pytest.mark.parametrize("name", ["Payment", "BunqMeTab", "ChatMessage", "requestinquiry", ""])
def test_a_call_about_anything_else_is_set_aside(name: str) -> None:
    assert verify(call_about(name, {"id": int(INQUIRY)})).reason == "unneeded_object"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"NotificationUrl": []}',
        b'{"NotificationUrl": {"category": "REQUEST"}}',
        call_about("RequestInquiry", {}, object={}),
        call_about("RequestInquiry", {}, object=[]),
        call_about("RequestInquiry", {}, object={"RequestInquiry": {}, "Payment": {}}),
        call_about("RequestInquiry", [int(INQUIRY)]),
        call_about("Payment", None),
        call_about("RequestInquiry", {}, category=1),
        call_about("RequestInquiry", {}, event_type=None),
        call_about_inquiry(id=INQUIRY),
        call_about_inquiry(id=True),
        call_about_inquiry(id=0),
        call_about_inquiry(id=-1),
        call_about_inquiry(id=2025724.0),
        call_about_inquiry(id=None),
        call_about_inquiry(monetary_account_id=str(ACCOUNT_ID)),
        call_about_inquiry(monetary_account_id=None),
        call_about("RequestInquiry", {"id": int(INQUIRY)}),
        call_about_inquiry() + b"x",
        call_about_inquiry().replace(b"{", b'{"NotificationUrl": 1, ', 1),
    ],
)
def test_a_call_of_another_shape_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        verify(body)


def test_without_a_key_at_hand_a_calls_signature_says_nothing() -> None:
    adapter = bunq(server_public_key_file=())

    assert verify(call_about_inquiry(), adapter, x_bunq_server_signature="AAAA").provider_id


def test_a_call_may_be_signed_with_any_of_the_keys(tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_text(VECTORS["keys"]["other_public_key"])
    vector = next(one for one in VECTORS["vectors"] if one["name"] == "valid_callback")

    adapter = bunq(server_public_key_file=(other, SERVER_KEY_FILE))
    body = base64.b64decode(vector["body_base64"])

    assert verify(body, adapter, x_bunq_server_signature=vector["header_value"]).provider_id
