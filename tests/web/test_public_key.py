"""/v1/endpoints shows the key that checks v1a signatures, and never the other half of it."""

from dataclasses import replace

from msgspec import structs

from service.ed25519 import check_of, seal_of
from service.runtime import Runtime
from service.settings import Secret
from tests.web.conftest import KEYS, client_of

SEALING = "whsk_" + "Q" * 43 + "="


async def test_the_public_key_is_shown_to_a_viewer_and_checks_our_seals(runtime: Runtime) -> None:
    sealed = structs.replace(runtime.endpoints["erp"], signing_key=Secret(SEALING))
    async with client_of(replace(runtime, endpoints={"erp": sealed}), key=KEYS["viewer"]) as viewer:
        answer = await viewer.get("/v1/endpoints")

    [shown] = answer.json()["data"]
    assert check_of(shown["public_key"])(seal_of(SEALING)(b"content"), b"content")
    assert SEALING not in answer.text


async def test_an_endpoint_without_a_signing_key_has_none(runtime: Runtime) -> None:
    async with client_of(runtime, key=KEYS["viewer"]) as viewer:
        [shown] = (await viewer.get("/v1/endpoints")).json()["data"]

    assert shown["public_key"] is None
