"""Keys of the v1a signature: how they are written, and that a bad one is refused unseen."""

import base64

import pytest

from service.ed25519 import check_of, public_key_of, seal_of

SEED = bytes(range(32))


def text(prefix: str, raw: bytes) -> str:
    return prefix + base64.b64encode(raw).decode()


def test_a_seed_alone_is_the_same_key_as_with_its_public_key_behind_it() -> None:
    alone = text("whsk_", SEED)
    public = base64.b64decode(public_key_of(alone).removeprefix("whpk_"))
    whole = text("whsk_", SEED + public)

    assert public_key_of(whole) == public_key_of(alone)
    assert check_of(public_key_of(alone))(seal_of(whole)(b"content"), b"content")
    assert not check_of(public_key_of(alone))(seal_of(whole)(b"content"), b"other")


@pytest.mark.parametrize(
    "key",
    [
        "",
        text("", SEED),
        text("whsec_", SEED),
        text("whpk_", SEED),
        text("whsk_", SEED[1:]),
        text("whsk_", SEED + SEED),
        text("whsk_", SEED + SEED[1:]),
        text("whsk_", SEED).rstrip("="),
        "whsk_!" + text("", SEED),
    ],
)
def test_a_private_key_of_the_wrong_form_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError, match=r".+") as caught:
        seal_of(key)

    assert text("", SEED)[:12] not in str(caught.value)


@pytest.mark.parametrize("key", [text("whsk_", SEED), text("whpk_", SEED[1:]), "whpk_é"])
def test_a_public_key_of_the_wrong_form_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        check_of(key)
