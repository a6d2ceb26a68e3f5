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

# Each status's word in ISO 20022, and every word of a provider with what it says by itself, written
# by hand from STATUSES.md, sections 1 and 2. Ginger's see-transactions says nothing by itself.
ISO = {
    "created": "RCVD",
    "open": "PRES",
    "authorising": "PATC",
    "accepted": "ACCP",
    "processing": "ACSP",
    "part_paid": "PART",
    "paid": "ACSC",
    "settled": "ACCC",
    "rejected": "RJCT",
    "failed": "RJCT",
    "cancelled": "CANC",
    "expired": "RJCT",
    "held": "BLCK",
}
DOCUMENTED = {
    ("ginger", "order"): """
        new created  processing processing  error failed  declined failed  completed paid
        cancelled cancelled  expired expired  see-transactions open
    """,
    ("ginger", "payment_link"): """
        new open  all_unsuccessful open  processing authorising  completed paid
        cancelled cancelled  expired expired
    """,
    ("ing_payment_request", "payment_request"): """
        open open  fulfilled processing  closed cancelled  expired expired
    """,
    ("gocardless", "billing_request"): """
        pending open  ready_to_fulfil authorising  fulfilling authorising  fulfilled processing
        cancelled cancelled
    """,
    ("gocardless", "payment"): """
        pending_customer_approval authorising  pending_submission accepted  submitted processing
        confirmed paid  paid_out settled  customer_approval_denied rejected  failed failed
        cancelled cancelled  charged_back reversed
    """,
    ("bunq", "request_inquiry"): """
        PENDING open  ACCEPTED settled  REJECTED rejected  REVOKED cancelled  EXPIRED expired
    """,
    ("payment_requests_v2", "payment_request"): """
        initiated created  rcvd created  0 created
        pending_approval authorising  1 authorising
        accepted accepted  actc accepted  accp accepted
        pdng processing  acsp processing  acwc processing  acwp processing
        3 processing  4 processing  6 processing
        acsc paid
        accc settled  completed settled  executed settled  7 settled
        rjct rejected  rejected rejected  5 rejected
        failed failed
        cancelled cancelled  2 cancelled  8 cancelled
        returned reversed
    """,
}


def test_every_status_has_a_meaning_and_says_when_it_is_final() -> None:
    assert set(MEANING) == set(FINAL) == set(Status)
    assert all(MEANING.values())
    assert all(FINAL.values())


def test_every_status_but_held_has_its_rank() -> None:
    assert {status.value: rank for status, rank in RANK.items()} == RANKS


def test_every_status_but_reversed_has_its_iso_20022_word() -> None:
    assert {status.value: word for status, word in ISO20022.items()} == ISO
    assert set(Status) - set(ISO20022) == {Status.REVERSED}


@pytest.mark.parametrize(("provider", "vocabulary"), EVERY_VOCABULARY)
def test_every_documented_word_says_its_status_and_there_is_no_other(
    provider: str, vocabulary: str
) -> None:
    words = DOCUMENTED[provider, vocabulary].split()

    assert words_of(provider, vocabulary) == dict(zip(words[::2], words[1::2], strict=True))


def test_no_documented_vocabulary_is_missing() -> None:
    assert set(EVERY_VOCABULARY) == set(DOCUMENTED)


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
