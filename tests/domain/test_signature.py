"""Signatures: the vectors, the strict verification cases, and an outside library as oracle."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from service.domain.signature import content_digest, key_of, sign, verify
from service.ed25519 import check_of, public_key_of, seal_of

VECTORS = json.loads((Path(__file__).parent.parent / "vectors/standard_webhooks.json").read_text())
NOW = 1_790_000_000
KEY = bytes(range(32))
SEALED = VECTORS["v1a_vector"]
OTHER_PUBLIC_KEY = public_key_of("whsk_" + "A" * 43 + "=")


def named(cases: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(case, id=case["name"]) for case in cases]


def headers(**changed: str) -> list[tuple[str, str]]:
    signature = sign([KEY], notification_id="ntf_1", timestamp=NOW, body=b"{}")
    ordinary = {"id": "ntf_1", "timestamp": str(NOW), "signature": signature}
    return [(f"webhook-{name}", value) for name, value in (ordinary | changed).items()]


@pytest.mark.parametrize("vector", named(VECTORS["vectors"]))
def test_a_vector_is_signed_as_printed(vector: dict[str, Any]) -> None:
    keys = [key_of(secret) for secret in vector["secrets"]]

    signature = sign(
        keys,
        notification_id=vector["webhook_id"],
        timestamp=vector["webhook_timestamp"],
        body=base64.b64decode(vector["body_base64"]),
    )

    assert [key.hex() for key in keys] == vector["secret_keys_hex"]
    assert signature == vector["headers"]["webhook-signature"]


@pytest.mark.parametrize("case", named(VECTORS["verification_cases"]))
def test_a_verification_case_ends_as_the_strict_form_demands(case: dict[str, Any]) -> None:
    accepted = verify(
        [key_of(case["secret"])],
        headers=list(case["headers"].items()),
        body=base64.b64decode(case["body_base64"]),
        now=case["receiver_now"],
    )

    assert accepted == (case["strict_expected"] == "accept")


def test_there_are_24_verification_cases() -> None:
    assert len(VECTORS["verification_cases"]) == 24


def test_either_key_of_a_rotation_verifies() -> None:
    old = bytes(24)
    both = sign([KEY, old], notification_id="ntf_1", timestamp=NOW, body=b"{}")

    for key in (KEY, old):
        assert verify([bytes(40), key], headers=headers(signature=both), body=b"{}", now=NOW)


@pytest.mark.parametrize("name", ["webhook-id", "Webhook-Timestamp", "WEBHOOK-SIGNATURE"])
def test_a_header_given_twice_is_refused_even_if_equal(name: str) -> None:
    pairs = headers()
    twice = [*pairs, *((name, value) for other, value in pairs if other == name.lower())]

    assert verify([KEY], headers=pairs, body=b"{}", now=NOW)
    assert not verify([KEY], headers=twice, body=b"{}", now=NOW)


def test_a_signature_spelled_with_other_last_bits_is_refused() -> None:
    signature = dict(headers())["webhook-signature"]
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    sibling = last[last.index(signature[-2]) ^ 1]
    other = f"{signature[:-2]}{sibling}="

    assert base64.b64decode(other[3:]) == base64.b64decode(signature[3:])
    assert not verify([KEY], headers=headers(signature=other), body=b"{}", now=NOW)


@pytest.mark.parametrize(("items", "accepted"), [(4, True), (5, False)])
def test_at_most_five_signatures_are_looked_at(items: int, accepted: bool) -> None:
    signature = "v1,x " * items + dict(headers())["webhook-signature"]

    assert verify([KEY], headers=headers(signature=signature), body=b"{}", now=NOW) is accepted


def test_a_wider_tolerance_accepts_an_older_message() -> None:
    assert not verify([KEY], headers=headers(), body=b"{}", now=NOW + 600)
    assert verify([KEY], headers=headers(), body=b"{}", now=NOW + 600, tolerance_seconds=600)


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_secret_of_the_right_size_gives_its_bytes(size: int) -> None:
    assert key_of("whsec_" + base64.b64encode(bytes(size)).decode()) == bytes(size)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        base64.b64encode(bytes(32)).decode(),
        "WHSEC_" + base64.b64encode(bytes(32)).decode(),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_" + base64.b64encode(bytes(32)).decode().rstrip("="),
        "whsec_!" + base64.b64encode(bytes(32)).decode(),
        "whsec_é" + base64.b64encode(bytes(32)).decode(),
    ],
)
def test_a_secret_of_the_wrong_form_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        key_of(secret)

    assert base64.b64encode(bytes(23)).decode()[:12] not in str(caught.value)


@pytest.mark.parametrize("notification_id", ["", "a.b", "ntf 1", "é", "a" * 65, "a\n"])
def test_an_id_that_receivers_refuse_is_never_signed(notification_id: str) -> None:
    with pytest.raises(ValueError, match="id of letters"):
        sign([KEY], notification_id=notification_id, timestamp=NOW, body=b"{}")


def test_signing_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        sign([], notification_id="ntf_1", timestamp=NOW, body=b"{}")


IDS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
KEYS = st.binary(min_size=24, max_size=64)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(KEYS, IDS, TEXTS)
def test_what_we_sign_the_outside_library_verifies(key: bytes, id_: str, text: str) -> None:
    now = int(datetime.now(UTC).timestamp())
    body = json.dumps({"text": text}).encode()
    signature = sign([key], notification_id=id_, timestamp=now, body=body)
    message = {"webhook-id": id_, "webhook-timestamp": str(now), "webhook-signature": signature}

    library = standardwebhooks.Webhook(base64.b64encode(key).decode())

    assert library.verify(body, message) == {"text": text}


@given(KEYS, IDS, TEXTS)
def test_what_the_outside_library_signs_we_verify(key: bytes, id_: str, body: str) -> None:
    library = standardwebhooks.Webhook(base64.b64encode(key).decode())
    signature = library.sign(id_, datetime.fromtimestamp(NOW, UTC), body)

    message = headers(id=id_, signature=signature)

    assert verify([key], headers=message, body=body.encode(), now=NOW)


@given(st.lists(st.tuples(st.text(), st.text())), st.text(), st.text(), st.text(), st.binary())
def test_hostile_input_is_refused_and_raises_nothing(
    more: list[tuple[str, str]], id_: str, timestamp: str, signature: str, body: bytes
) -> None:
    message = [*headers(id=id_, timestamp=timestamp, signature=signature), *more]

    assert not verify([KEY], headers=message, body=body, now=NOW)


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_one_changed_byte_is_refused(position: int, difference: int) -> None:
    body = bytearray(b"ntf_1.1790000000.{}")
    body[position % len(body)] ^= difference
    signature = sign([KEY], notification_id="ntf_1", timestamp=NOW, body=b"ntf_1.1790000000.{}")

    assert not verify([KEY], headers=headers(signature=signature), body=bytes(body), now=NOW)


def sealed(**changed: str) -> list[tuple[str, str]]:
    """The vector's message as received, signed with a secret and sealed with the key."""
    signature = sign(
        [KEY],
        notification_id=SEALED["webhook_id"],
        timestamp=SEALED["webhook_timestamp"],
        body=SEALED["body_utf8"].encode(),
        seal=seal_of(SEALED["secret_key"]),
    )
    ordinary = {
        "id": SEALED["webhook_id"],
        "timestamp": str(SEALED["webhook_timestamp"]),
        "signature": signature,
    }
    return [(f"webhook-{name}", value) for name, value in (ordinary | changed).items()]


def is_sealed(message: list[tuple[str, str]], public_key: str = SEALED["public_key"]) -> bool:
    body = SEALED["body_utf8"].encode()
    return verify([], seals=[check_of(public_key)], headers=message, body=body, now=NOW)


def test_the_v1a_vector_is_sealed_as_printed_behind_the_secrets() -> None:
    _, _, (_, signature) = sealed()

    assert [item[:3] for item in signature.split()] == ["v1,", "v1a"]
    assert signature.split()[1] == SEALED["signature"]


def test_the_public_key_alone_verifies_and_another_does_not() -> None:
    assert is_sealed(sealed())
    assert not is_sealed(sealed(), OTHER_PUBLIC_KEY)
    assert not is_sealed(sealed(id="ntf_2"))


def test_a_secret_verifies_beside_a_seal_and_a_seal_is_no_secret() -> None:
    body = SEALED["body_utf8"].encode()

    assert verify([KEY], headers=sealed(), body=body, now=NOW)
    assert not verify([bytes(24)], headers=sealed(), body=body, now=NOW)


@pytest.mark.parametrize("cut", [slice(0, -2), slice(0, -1), slice(0, 0), slice(0, -4)])
def test_a_seal_that_is_not_spelled_in_full_is_refused(cut: slice) -> None:
    seal = SEALED["signature"].removeprefix("v1a,")

    assert is_sealed(sealed(signature="v1a," + seal))
    assert not is_sealed(sealed(signature="v1a," + seal[cut]))


def test_a_seal_spelled_with_other_last_bits_is_refused() -> None:
    seal = SEALED["signature"].removeprefix("v1a,")
    other = f"{seal[:-3]}R=="

    assert base64.b64decode(other) == base64.b64decode(seal)
    assert other != seal
    assert not is_sealed(sealed(signature="v1a," + other))


def test_the_digest_of_a_body_is_that_of_rfc_9530() -> None:
    body = b'{"hello": "world"}\n'

    assert content_digest(body) == "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
