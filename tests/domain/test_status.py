"""The table of statuses is complete, and says what the fact sheets say."""

import tomllib
from importlib.resources import files

import pytest

from service.domain.status import (
    FINAL,
    ISO20022,
    MEANING,
    RANK,
    VOCABULARIES,
    Status,
    about,
    definition_of,
    explanations_of,
    words_of,
)

EVERY_VOCABULARY = [
    (provider, vocabulary)
    for provider, vocabularies in VOCABULARIES.items()
    for vocabulary in vocabularies
]

RANKS = {
    "created": 0,
    "open": 1,
    "authorising": 2,
    "accepted": 3,
    "processing": 4,
    "part_paid": 5,
    "paid": 6,
    "settled": 7,
    "rejected": 8,
    "failed": 8,
    "cancelled": 8,
    "expired": 8,
    "reversed": 9,
}

# The providers' words as their fact sheets list them.
DOCUMENTED = {
    ("ginger", "order"): {
        *("new", "processing", "error", "completed", "cancelled", "expired"),
        *("see-transactions", "declined"),
    },
    ("ginger", "payment_link"): {
        *("new", "processing", "all_unsuccessful", "completed", "expired", "cancelled"),
    },
    ("ing_payment_request", "payment_request"): {"open", "fulfilled", "expired", "closed"},
    ("gocardless", "billing_request"): {
        *("pending", "ready_to_fulfil", "fulfilling", "fulfilled", "cancelled"),
    },
    ("gocardless", "payment"): {
        *("pending_customer_approval", "pending_submission", "submitted", "confirmed"),
        *("paid_out", "cancelled", "customer_approval_denied", "failed", "charged_back"),
    },
    ("bunq", "request_inquiry"): {"PENDING", "ACCEPTED", "REJECTED", "REVOKED", "EXPIRED"},
    ("payment_requests_v2", "payment_request"): {
        *("initiated", "pending_approval", "accepted", "completed", "executed", "rejected"),
        *("failed", "cancelled", "returned"),
        *("rcvd", "pdng", "actc", "accp", "acsp", "acwc", "acwp", "acsc", "accc", "rjct"),
        *("0", "1", "2", "3", "4", "5", "6", "7", "8"),
    },
}


def test_every_status_has_a_meaning_and_says_when_it_is_final() -> None:
    assert set(MEANING) == set(FINAL) == set(Status)
    assert all(MEANING.values())
    assert all(FINAL.values())


def test_every_status_but_held_has_its_rank() -> None:
    assert {status.value: rank for status, rank in RANK.items()} == RANKS


def test_only_reversed_has_no_iso_20022_word() -> None:
    assert set(Status) - set(ISO20022) == {Status.REVERSED}
    assert ISO20022[Status.HELD] == "BLCK"
    assert ISO20022[Status.PAID] == "ACSC"


@pytest.mark.parametrize(("provider", "vocabulary"), EVERY_VOCABULARY)
def test_a_vocabulary_holds_the_documented_words_and_no_others(
    provider: str, vocabulary: str
) -> None:
    assert set(words_of(provider, vocabulary)) == DOCUMENTED[provider, vocabulary]


def test_no_documented_vocabulary_is_missing() -> None:
    assert set(EVERY_VOCABULARY) == set(DOCUMENTED)


@pytest.mark.parametrize(
    ("provider", "vocabulary", "word", "status"),
    [
        ("ginger", "order", "error", Status.FAILED),
        ("ginger", "order", "see-transactions", Status.OPEN),
        ("ginger", "payment_link", "all_unsuccessful", Status.OPEN),
        ("ginger", "payment_link", "processing", Status.AUTHORISING),
        ("ing_payment_request", "payment_request", "closed", Status.CANCELLED),
        ("gocardless", "billing_request", "ready_to_fulfil", Status.AUTHORISING),
        ("gocardless", "payment", "pending_submission", Status.ACCEPTED),
        ("gocardless", "payment", "confirmed", Status.PAID),
        ("gocardless", "payment", "paid_out", Status.SETTLED),
        ("gocardless", "payment", "customer_approval_denied", Status.REJECTED),
        ("bunq", "request_inquiry", "REVOKED", Status.CANCELLED),
        ("payment_requests_v2", "payment_request", "acsc", Status.PAID),
        ("payment_requests_v2", "payment_request", "5", Status.REJECTED),
        ("payment_requests_v2", "payment_request", "8", Status.CANCELLED),
    ],
)
def test_a_word_says_its_status(provider: str, vocabulary: str, word: str, status: Status) -> None:
    assert words_of(provider, vocabulary)[word] is status


def test_fulfilled_is_never_paid_by_itself() -> None:
    assert words_of("gocardless", "billing_request")["fulfilled"] is Status.PROCESSING
    assert words_of("ing_payment_request", "payment_request")["fulfilled"] is Status.PROCESSING


@pytest.mark.parametrize("word", ["accepted", "captured", "authorized"])
def test_words_seen_only_in_plugins_stay_unmapped(word: str) -> None:
    assert word not in words_of("ginger", "order")
    assert word not in words_of("ginger", "payment_link")


def test_a_definition_holds_all_that_the_table_says_of_a_status() -> None:
    paid, held = definition_of(Status.PAID), definition_of(Status.HELD)

    assert (paid.rank, paid.iso20022, paid.meaning) == (6, "ACSC", MEANING[Status.PAID])
    assert (held.rank, held.iso20022) == (None, "BLCK")
    assert all(definition_of(status).action for status in Status)


def test_a_word_is_explained_in_every_vocabulary_that_has_it() -> None:
    order, link = (one for one in explanations_of("ginger") if one.word == "completed")

    assert (order.vocabulary, order.definition.status) == ("order", Status.PAID)
    assert order.derived is not None
    assert "accepted when only authorised" in order.derived
    assert Status.ACCEPTED in order.may_be
    assert link.vocabulary == "payment_link"


def test_a_word_that_decides_alone_has_nothing_derived() -> None:
    (explained,) = (one for one in explanations_of("bunq") if one.word == "REJECTED")

    assert explained.definition.status is Status.REJECTED
    assert explained.derived is None
    assert explained.may_be == ()


@pytest.mark.parametrize("provider", VOCABULARIES)
def test_a_provider_has_notes_and_says_how_its_words_are_compared(provider: str) -> None:
    known = about(provider)

    assert known.notes
    assert (known.spelling == "folded") == (provider == "payment_requests_v2")


@pytest.mark.parametrize(("provider", "vocabulary"), EVERY_VOCABULARY)
def test_everything_derived_explains_a_word_of_its_vocabulary(
    provider: str, vocabulary: str
) -> None:
    text = files("service.domain").joinpath("statuses.toml").read_text("utf-8")
    entry = tomllib.loads(text)["provider"][provider][vocabulary]
    words = words_of(provider, vocabulary)

    assert set(entry) <= {"words", "derived", "may_be"}
    assert set(entry.get("derived", {})) <= set(words)
    # What a word may be besides needs a reason, and what it says by itself is not besides.
    assert set(entry.get("may_be", {})) <= set(entry.get("derived", {}))
    for word, others in entry.get("may_be", {}).items():
        assert set(others) <= set(Status) - {words[word]}


def test_an_unknown_provider_is_an_error() -> None:
    with pytest.raises(KeyError):
        explanations_of("northpay")
    with pytest.raises(KeyError):
        about("northpay")
