import json
from typing import Any

import pytest
from click.testing import CliRunner

from service.cli.explain import explain, find
from service.domain.request import Observation
from service.domain.status import VOCABULARIES, Status, explanations_of
from service.errors import NotFound
from tests.providers.exchange import run
from tests.providers.table import WORLDS
from tests.providers.test_contract import READS, asked, kind_in, responder
from tests.providers.world import Row, Seen


def told(provider: str, word: str) -> str:
    return CliRunner().invoke(explain, [provider, word], catch_exceptions=False).output


def told_as_json(provider: str, word: str) -> dict[str, Any]:
    shown = CliRunner().invoke(explain, [provider, word, "--json"], catch_exceptions=False)
    answer: dict[str, Any] = json.loads(shown.output)
    return answer


def test_a_word_is_told_with_its_status_and_what_else_decides() -> None:
    shown = told("bunq", "ACCEPTED")

    assert shown.startswith("bunq request_inquiry: ACCEPTED -> settled\n")
    assert "ISO 20022  ACCC" in shown
    assert "rank       7" in shown
    assert "else part_paid" in shown


def test_a_word_that_two_vocabularies_read_differently_has_no_single_status() -> None:
    shown = told_as_json("ginger", "processing")

    assert shown["status"] is None
    assert {one["vocabulary"]: one["status"] for one in shown["explanations"]} == {
        "order": "processing",
        "payment_link": "authorising",
    }


@pytest.mark.parametrize("provider", VOCABULARIES)
def test_every_word_of_the_table_is_explained(provider: str) -> None:
    for one in explanations_of(provider):
        shown = told_as_json(provider, one.word)

        assert shown["mapped"]
        assert (one.vocabulary, one.definition.status) in {
            (each["vocabulary"], each["status"]) for each in shown["explanations"]
        }


@pytest.mark.parametrize(
    ("provider", "file", "row"),
    [entry for entry in READS if isinstance(entry[2].expected, Seen)],
    ids=lambda part: str(part)[:50],
)
def test_what_a_recording_comes_to_is_among_what_its_word_may_be(
    provider: str, file: str, row: Row
) -> None:
    adapter = WORLDS[provider].adapter(provider)
    exchange = adapter.read(kind_in(provider, row), asked(provider, file, row), None)
    seen, _ = run(exchange, responder(provider, file, row))
    assert isinstance(seen, Observation)

    found = find(provider, seen.facts.provider_status).explanations

    allowed = {status for one in found for status in (one.definition.status, *one.may_be)}
    money_is_back = 0 < seen.facts.received <= seen.facts.refunded
    # A transfer decides for the whole of its request, whose own word may lag behind.
    assert provider == "payment_requests_v2" or seen.facts.status in allowed or money_is_back


def test_only_a_provider_whose_words_are_folded_is_read_in_any_case() -> None:
    loose, exact = told_as_json("payment_requests_v2", " ACSC"), told_as_json("bunq", "rejected")

    assert (loose["word"], loose["status"], loose["mapped"]) == ("acsc", "paid", True)
    assert (exact["word"], exact["status"], exact["mapped"]) == ("REJECTED", "rejected", False)
    assert "'rejected' as it stands is no word of bunq" in told("bunq", "rejected")
    assert "as it stands" not in told("bunq", "REJECTED")


def test_a_status_of_ours_is_told_with_the_words_that_lead_to_it() -> None:
    shown = told_as_json("gocardless", "part_paid")

    assert (shown["status"], shown["explanations"], shown["mapped"]) == ("part_paid", [], False)
    assert shown["canonical"]["said_by"] == [
        {"vocabulary": "payment", "word": "confirmed", "by_itself": False},
        {"vocabulary": "payment", "word": "paid_out", "by_itself": False},
    ]
    assert "said by    no word by itself\n  also from  confirmed (payment)" in told(
        "gocardless", "part_paid"
    )


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("provider", VOCABULARIES)
def test_every_status_of_ours_is_explained_at_every_provider(provider: str, status: str) -> None:
    shown = told_as_json(provider, status)

    assert shown["canonical"]["status"] == status
    assert f"our own status: {status}\n" in told(provider, status)


@pytest.mark.parametrize(
    ("provider", "word", "unseen"),
    [
        ("bunq", "ACCEPTED", "without a reference it cannot be seen"),
        ("ing_payment_request", "fulfilled", "refunds are not part of this API"),
        ("payment_requests_v2", "accc", "never counted as money of a customer"),
        ("gocardless", "paid_out", "may still be on its way"),
    ],
)
def test_what_a_provider_does_not_show_is_said(provider: str, word: str, unseen: str) -> None:
    assert unseen in told(provider, word)


def test_an_unmapped_word_is_not_found_and_its_fate_is_told() -> None:
    with pytest.raises(NotFound) as refused:
        told("gocardless", "banana")

    message = str(refused.value)
    assert "no status 'banana'" in message
    assert "parked with attention `unmapped_status`" in message
    assert "Known of payment: pending_customer_approval, " in message
    assert "Known of billing_request: pending, " in message


def test_an_unknown_provider_is_not_found_and_the_known_are_named() -> None:
    with pytest.raises(NotFound, match="no provider 'northpay'; there are ginger, "):
        told("northpay", "open")
