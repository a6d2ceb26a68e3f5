import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from service.domain.signature import key_of, sign
from service.ed25519 import public_key_of, seal_of
from tests.cli.command import settled

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
OTHER_SECRET = "whsec_OTg3NjU0MzIxMGFiY2RlZjAxMjM0NTY3"
BODY = b'{"type": "payment_request.paid"}\n'
SEALING = "whsk_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SIGNED_AT = 1_795_184_462  # 2026-11-20T14:21:02Z


@pytest.fixture
def received(tmp_path: Path) -> Path:
    """A folder with a notification as it was received, and its secret."""
    signature = sign(
        [key_of(SECRET)],
        notification_id="ntf_1",
        timestamp=SIGNED_AT,
        body=BODY,
        seal=seal_of(SEALING),
    )
    (tmp_path / "headers").write_text(
        f"Content-Type: application/json\r\nWebhook-Id: ntf_1\r\n"
        f"Webhook-Timestamp: {SIGNED_AT}\r\nWebhook-Signature: {signature}\r\n\r\n"
    )
    (tmp_path / "body").write_bytes(BODY)
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / "other").write_text(OTHER_SECRET)
    (tmp_path / "public").write_text(public_key_of(SEALING) + "\n")
    (tmp_path / "private").write_text(SEALING)
    return tmp_path


def verify(folder: Path, *more: str, secret: str = "secret") -> CompletedProcess[str]:
    files = ("--secret-file", secret, "--headers", "headers", "--body", "body")
    return settled("verify", *files, *more, folder=folder)


@pytest.mark.parametrize(
    "at", [str(SIGNED_AT), "2026-11-20T14:21:02Z", "2026-11-20T15:24:00+01:00"]
)
def test_our_signature_is_good(received: Path, at: str) -> None:
    checked = verify(received, "--at", at)

    assert (checked.returncode, checked.stdout) == (0, "good signature of ntf_1\n")


def test_any_of_several_secrets_will_do(received: Path) -> None:
    assert verify(received, "--at", str(SIGNED_AT), secret="other").returncode == 6
    more = ("--at", str(SIGNED_AT), "--secret-file", "secret")
    assert verify(received, *more, secret="other").returncode == 0


def test_the_public_key_will_do(received: Path) -> None:
    assert verify(received, "--at", str(SIGNED_AT), secret="public").returncode == 0
    assert verify(received, "--at", str(SIGNED_AT + 3600), secret="public").returncode == 6


def test_a_changed_body_is_a_problem(received: Path) -> None:
    (received / "body").write_bytes(BODY.strip())
    checked = verify(received, "--at", str(SIGNED_AT), "--json")

    assert checked.returncode == 6
    assert json.loads(checked.stdout) == {
        "valid": False,
        "id": "ntf_1",
        "checked_at": "2026-11-20T14:21:02Z",
    }
    assert "bad signature" in checked.stderr


def test_an_old_message_is_a_problem_unless_tolerated(received: Path) -> None:
    later = str(SIGNED_AT + 3600)

    assert verify(received).returncode == 6
    assert verify(received, "--at", later).returncode == 6
    assert verify(received, "--at", later, "--tolerance", "2h").returncode == 0


@pytest.mark.parametrize(
    "more",
    [
        ("--at", "yesterday"),
        ("--at", "2026-11-20T14:21:02"),
        ("--at", "999999999999"),
        ("--tolerance", "long"),
        ("--secret-file", "body"),
        ("--secret-file", "private"),
        ("--headers", "body"),
        ("--headers", "none"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(received: Path, more: tuple[str, str]) -> None:
    (received / "body").write_bytes(b"not a header")

    assert verify(received, *more).returncode == 2
