"""What a sandbox opens for a configuration."""

from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from service.cli.sandbox_accounts import accounts_at, erp_secrets_at
from service.errors import Misconfigured
from service.sandbox.app import create_app
from service.sandbox.twins import TWINS, open_account
from service.settings import Settings, parse

KEY = generate_private_key(65537, 2048)
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
HERE = "http://127.0.0.1:9000"

ACCOUNTS: list[dict[str, object]] = [
    {
        "name": "g",
        "provider": "ginger",
        "api_base": HERE,
        "api_key": "k",
        "webhook_token": "t",
    },
    {
        "name": "gc",
        "provider": "gocardless",
        "api_base": HERE,
        "access_token": "a",
        "webhook_secrets": ["new", "old"],
    },
    {
        "name": "b",
        "provider": "bunq",
        "api_base": f"{HERE}/v1",
        "api_key": "k",
        "user_id": 1,
        "monetary_account_id": 2,
    },
    {
        "name": "i",
        "provider": "ing_payment_request",
        "api_base": HERE,
        "client_id": "c",
        "tls_certificate_file": "tls.pem",
        "tls_key_file": "tls.key",
        "signing_key_file": "sign.key",
    },
    {
        "name": "p",
        "provider": "payment_requests_v2",
        "api_base": f"{HERE}/api/v2",
        "api_token": "t",
        "client_account_id": 3,
    },
]


def settings(folder: Path, accounts: list[dict[str, object]], mode: str = "test") -> Settings:
    key = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "sign.key").write_bytes(key)
    endpoints = [
        {"name": "erp", "url": f"{HERE}/erp/hooks", "secrets": [SECRET], "allow_private": True},
        {"name": "other", "url": "https://erp.example.com/", "secrets": [SECRET]},
    ]
    table = {
        "settled": {"listen": "127.0.0.1:8080", "mode": mode},
        "account": accounts,
        "endpoint": [] if mode == "live" else endpoints,
    }
    return parse(table, source="settled.toml", environ={}, base=folder)


def test_the_accounts_of_a_configuration_are_opened_with_what_both_sides_have_to_know(
    tmp_path: Path,
) -> None:
    opened = accounts_at(settings(tmp_path, ACCOUNTS), 9000)

    by_name = {each["name"]: each for each in opened}
    public_key = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert by_name["g"]["webhook_url"] == "http://127.0.0.1:8080/webhooks/g/t"
    assert by_name["gc"]["webhook_url"] == "http://127.0.0.1:8080/webhooks/gc"
    assert by_name["gc"]["webhook_secret"] == "new"
    assert by_name["i"]["signing_public_key"] == public_key.decode()
    assert {each["provider"] for each in opened} == set(TWINS)


def test_every_twin_takes_what_is_opened_for_it(tmp_path: Path) -> None:
    world = create_app().state.world

    for each in accounts_at(settings(tmp_path, ACCOUNTS), 9000):
        account, is_new = open_account(world, msgspec.json.encode(each))
        assert (account.settings.name, is_new) == (each["name"], True)


@pytest.mark.parametrize(
    "api_base",
    ["https://127.0.0.1:9000", "http://127.0.0.1:9001", "http://api.example.com:9000"],
)
def test_an_account_that_leads_elsewhere_is_left_alone(tmp_path: Path, api_base: str) -> None:
    elsewhere = [{**ACCOUNTS[0], "api_base": api_base}]

    assert accounts_at(settings(tmp_path, elsewhere), 9000) == []


def test_only_the_endpoint_that_leads_here_lends_its_secrets(tmp_path: Path) -> None:
    assert erp_secrets_at(settings(tmp_path, []), 9000) == [SECRET]
    assert erp_secrets_at(settings(tmp_path, []), 9001) == []


def test_nothing_live_is_played_with(tmp_path: Path) -> None:
    live = settings(tmp_path, [], mode="live")

    with pytest.raises(Misconfigured, match="live"):
        accounts_at(live, 9000)
