"""The pages that people read: every word, command, field and link in them is one that there is."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli.main import settled as group
from service.domain.signature import key_of, sign
from service.domain.status import VOCABULARIES, Status, explanations_of
from service.web.openapi.news import NEWS, NOTIFICATION
from service.web.openapi.shapes import Schema
from tests.cli.command import settled
from tests.deploy.files import DEPLOY, commands, lines, pages

REPOSITORY = DEPLOY.parent
A_WORD = "completed"  # of Ginger, where a page says the-word
ERP = DEPLOY / "ERP.md"
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
SIGNED_AT = 1_795_184_462  # 2026-11-20T14:21:02Z, as the page says
BODY = b'{"type": "payment_request.paid"}'

# A line of a table, its first cell one name in code; and any such name in a page.
ROW = re.compile(r"^\| `([^`]+)` \|(.*)\|$", re.MULTILINE)
NAME = re.compile(r"`([A-Za-z][A-Za-z0-9_-]*)`")
LINK = re.compile(r"\]\(([^)]+)\)")
INLINE = re.compile(r"`settled ([^`]+)`")


def inline_commands() -> Iterator[tuple[str, Sequence[str]]]:
    """Return every command of ours within a sentence; of `a b|c` both `a b` and `a c`.

    The change log is left out: it tells of what there was.
    """
    for page in pages():
        if page.name == "CHANGELOG.md":
            continue
        for text in INLINE.findall(page.read_text()):
            words = shlex.split(text)
            for place, word in enumerate(words):
                if "|" in word:
                    yield from ((page.name, [*words[:place], each]) for each in word.split("|"))
                    break
            else:
                yield page.name, words


def offline_commands() -> Sequence[str]:
    """Return the commands that need no servers, and write nowhere but where they are started."""
    every = [words for _, words in [*commands(), *inline_commands()]]
    chosen = [
        words
        for words in every
        if (words[0] == "explain" and words[2:])
        or (words[0] == "verify" and words[1:])
        or words in (["init"], ["--help"])
    ]
    return sorted({shlex.join(words).replace("the-word", A_WORD) for words in chosen})


@pytest.mark.parametrize("provider", VOCABULARIES)
def test_a_page_tells_every_word_of_its_provider_as_the_table_of_statuses_does(
    provider: str,
) -> None:
    told = {}
    for part in page_of(provider).split("## Words of ")[1:]:
        section = part.partition("\n## ")[0]
        vocabulary = section.split("`")[1]
        for word, rest in ROW.findall(section):
            by_itself, others, why = (cell.strip() for cell in rest.split("|"))
            assert why, word
            told[vocabulary, word] = (NAME.findall(by_itself), NAME.findall(others))

    assert told == {
        (one.vocabulary, one.word): ([one.definition.status], list(one.may_be))
        for one in explanations_of(provider)
    }


@pytest.mark.parametrize("provider", VOCABULARIES)
def test_a_page_names_nothing_that_the_code_does_not_know(provider: str) -> None:
    words = {one.word for one in explanations_of(provider)}
    kinds = set(VOCABULARIES[provider])

    named = set(NAME.findall(page_of(provider))) - words - kinds - set(Status)

    assert not named & {one.word for each in VOCABULARIES for one in explanations_of(each)}
    assert named <= names_in_code()


@pytest.mark.parametrize(("page", "words"), list(inline_commands()))
def test_a_command_within_a_sentence_is_a_verb_with_options_that_it_has(
    page: str, words: list[str]
) -> None:
    # Arguments may be left out in a sentence: help does not ask for them.
    shown = CliRunner().invoke(group, [*words, "--help"])

    assert shown.exit_code == 0, f"{page}: {shown.output}"


@pytest.mark.parametrize("line", offline_commands())
def test_a_command_that_needs_no_servers_does_what_the_page_says(line: str, tmp_path: Path) -> None:
    signature = sign([key_of(SECRET)], notification_id="ntf_1", timestamp=SIGNED_AT, body=BODY)
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "body").write_bytes(BODY)
    (tmp_path / "headers").write_text(
        f"webhook-id: ntf_1\nwebhook-timestamp: {SIGNED_AT}\nwebhook-signature: {signature}\n"
    )

    done = settled(*shlex.split(line), folder=tmp_path)

    assert done.returncode == 0, done.stderr


def test_the_page_tells_every_field_of_a_message_and_no_other() -> None:
    request, order = (names_in(NEWS[name]) for name in ("RequestNews", "OrderNews"))

    assert fields_behind("## The body") == names_in(NEWS["Notification"])
    assert fields_behind("In every `data`") == request & order
    assert fields_behind("Only of requests") == request - order
    assert fields_behind("Only of orders") == order - request


def test_the_page_tells_every_header_and_no_other() -> None:
    parameters: Sequence[Schema] = NOTIFICATION["parameters"]

    assert fields_behind("## Headers") == {each["name"] for each in parameters}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_and_every_file_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    linked = [each.partition("#")[0] for each in LINK.findall(text) if "://" not in each]
    ours = [word for line in lines(page) for word in re.findall(r"(?<!\S)deploy/\S+", line)]

    assert [each for each in linked if each and not (page.parent / each).exists()] == []
    assert [each for each in ours if not list(REPOSITORY.glob(each))] == []


def page_of(provider: str) -> str:
    return (DEPLOY / "providers" / f"{provider}.md").read_text()


@cache
def names_in_code() -> frozenset[str]:
    """Return every word of the service's code and of the example configuration."""
    sources = [*(REPOSITORY / "service").rglob("*.py"), DEPLOY / "settled.example.toml"]
    return frozenset(
        word for path in sources for word in re.findall(r"[A-Za-z0-9_]+", path.read_text())
    )


def fields_behind(heading: str) -> set[str]:
    """Return the names in the first table of the page behind a heading."""
    table = ERP.read_text().partition(f"\n{heading}")[2].partition("\n| ---")[2]
    return {name for name, _ in ROW.findall(table.partition("\n\n")[0])}


def names_in(schema: Mapping[str, Schema]) -> set[str]:
    """Return the fields of an object, and as "provider.id" those of the objects in it."""
    names = set()
    for name, inner in schema["properties"].items():
        shape = inner.get("items", inner)
        names |= {name, *(f"{name}.{each}" for each in shape.get("properties", ()))}
    return names
