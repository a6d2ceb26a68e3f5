"""Each kind of endpoint has keys of its own, and says so."""

import tomllib
from pathlib import Path

import pytest

from service import settings
from service.errors import Misconfigured

KINDS = {
    "webhook": {"url": '"https://erp.example"', "secrets": f'["whsec_{"QUFB" * 8}"]'},
    "recipe": {"url": '"https://erp.example"', "recipe": '"tryton-8"'},
    "file": {"folder": '"out"', "format": '"csv"'},
    "stream": {"stream": '"settled"'},
}
OTHERS = {
    "book_at": '"paid"',
    "parameters": '{ database = "x" }',
    "user": '"settled"',
    "password_env": '"PASSWORD"',
    "token_env": '"PASSWORD"',
    "every": '"PT15M"',
    "redis_url": '"redis://erp.example"',
    "max_length": "1000",
    "concurrency": "3",
    "allow_private": "true",
}
BELONG = {
    "webhook": {"concurrency", "allow_private"},
    "recipe": {"book_at", "parameters", "user", "password_env", "token_env"}
    | {"concurrency", "allow_private"},
    "file": {"every"},
    "stream": {"redis_url", "max_length", "concurrency"},
}


def read(kind: str, **keys: str) -> settings.Endpoint:
    lines = [f"{key} = {value}" for key, value in keys.items()]
    text = "\n".join(["[[endpoint]]", 'name = "erp"', f'kind = "{kind}"', *lines])
    environ = {"PASSWORD": "p"}
    table = tomllib.loads(text)
    return settings.parse(table, source="s.toml", environ=environ, base=Path("/conf")).endpoints[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_takes_its_own_keys_and_no_others(kind: str) -> None:
    assert read(kind, **KINDS[kind]).kind == kind
    for key, value in OTHERS.items():
        if key in BELONG[kind]:
            read(kind, **KINDS[kind], **{key: value})
            continue
        name = key.removesuffix("_env")
        message = (
            rf'^s.toml: endpoint\[0\].{name}: expected no {name} at kind = "{kind}": it is for'
        )
        with pytest.raises(Misconfigured, match=message):
            read(kind, **KINDS[kind], **{key: value})


@pytest.mark.parametrize(
    ("kind", "key"), [(kind, key) for kind, keys in KINDS.items() for key in keys]
)
def test_a_kind_says_what_it_needs(kind: str, key: str) -> None:
    given = {name: value for name, value in KINDS[kind].items() if name != key}

    with pytest.raises(Misconfigured) as error:
        read(kind, **given)
    assert str(error.value) == (
        f's.toml: endpoint[0].{key}: expected {key}, which kind = "{kind}" needs'
    )


@pytest.mark.parametrize(
    ("kind", "key", "value", "message"),
    [
        ("file", "format", '"xlsx"', 'format: expected one of "csv", "jsonl", got "xlsx"'),
        ("file", "every", '"0s"', "every: expected a duration longer than zero"),
        ("stream", "redis_url", '"http://x"', "redis_url: expected a URL with redis://"),
        ("stream", "max_length", "0", "max_length: expected at least 1, got 0"),
        ("recipe", "url", '"http://erp"', "url: expected an https URL, or allow_private = true"),
    ],
)
def test_a_bad_value_of_a_kind_is_named(kind: str, key: str, value: str, message: str) -> None:
    with pytest.raises(Misconfigured) as error:
        read(kind, **KINDS[kind] | {key: value})
    assert str(error.value).startswith(f"s.toml: endpoint[0].{message}")


def test_a_folder_starts_at_the_folder_of_the_configuration() -> None:
    assert read("file", **KINDS["file"]).folder == Path("/conf/out")
