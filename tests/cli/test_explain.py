import json

import pytest
from click.testing import CliRunner

from service.cli.explain import explain
from service.domain.status import VOCABULARIES, words_of
from service.errors import NotFound


def test_a_word_is_told_with_its_status_and_what_else_decides() -> None:
    shown = CliRunner().invoke(explain, ["bunq", "ACCEPTED"]).output

    assert shown.startswith("bunq request_inquiry: ACCEPTED -> settled\n")
    assert "ISO 20022  ACCC" in shown
    assert "else part_paid" in shown


def test_a_word_is_found_in_any_case() -> None:
    shown = json.loads(CliRunner().invoke(explain, ["bunq", "accepted", "--json"]).output)

    assert (shown["provider"], shown["word"], shown["status"]) == ("bunq", "ACCEPTED", "settled")


def test_a_word_that_two_vocabularies_read_differently_has_no_single_status() -> None:
    shown = json.loads(CliRunner().invoke(explain, ["ginger", "processing", "--json"]).output)

    assert shown["status"] is None
    assert {one["vocabulary"]: one["status"] for one in shown["explanations"]} == {
        "order": "processing",
        "payment_link": "authorising",
    }


@pytest.mark.parametrize("provider", VOCABULARIES)
def test_every_word_of_the_table_is_explained(provider: str) -> None:
    for vocabulary in VOCABULARIES[provider]:
        for word in words_of(provider, vocabulary):
            assert CliRunner().invoke(explain, [provider, word]).exit_code == 0


@pytest.mark.parametrize(
    ("provider", "word", "message"),
    [("ginger", "banana", "Known: .*completed"), ("northpay", "open", "there are ginger")],
)
def test_what_is_not_in_the_table_is_not_found(provider: str, word: str, message: str) -> None:
    with pytest.raises(NotFound, match=message):
        CliRunner().invoke(explain, [provider, word], catch_exceptions=False)
