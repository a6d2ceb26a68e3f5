"""The canonical statuses and the providers' words for them, read from statuses.toml once.

Source: STATUSES.md, sections 1 and 2.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, Literal


class Status(StrEnum):
    """What a request is at, in our words; amounts are told apart from it."""

    CREATED = "created"
    OPEN = "open"
    AUTHORISING = "authorising"
    ACCEPTED = "accepted"
    PROCESSING = "processing"
    PART_PAID = "part_paid"
    PAID = "paid"
    SETTLED = "settled"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REVERSED = "reversed"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Definition:
    """What one of our own statuses means, whichever provider's word led to it.

    rank is None for HELD, iso20022 for REVERSED. final and action say in words when it is final
    and what we do with a request that is at it.
    """

    status: Status
    rank: int | None
    iso20022: str | None
    meaning: str
    final: str
    action: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What one word of a provider's vocabulary means.

    definition is of the status that the word says by itself. derived says what else decides, None
    where the word decides alone; may_be, which other statuses that can lead to.
    """

    vocabulary: str
    word: str
    definition: Definition
    derived: str | None
    may_be: tuple[Status, ...]


@dataclass(frozen=True, slots=True)
class About:
    """How a provider's words are compared, and what its API does not show.

    spelling is "folded" where blanks around a word and its case do not matter.
    """

    spelling: Literal["exact", "folded"]
    notes: tuple[str, ...]


def words_of(provider: str, vocabulary: str) -> Mapping[str, Status]:
    """Return every word of a provider's vocabulary with the status that it says by itself.

    A vocabulary is named like the kind of request that speaks it; "payment" is GoCardless's
    second. Raises KeyError for a provider or vocabulary that is not in the table.
    """
    return _WORDS[provider, vocabulary]


def claims_of(provider: str, vocabulary: str) -> Mapping[str, Status]:
    """Return for words of a vocabulary the least that a request with them can come to.

    So much whoever says the word claims. A failure claims nothing: another try may follow it at
    once. Raises KeyError as `words_of` does.
    """
    least = {
        word: min((status, *_may_be(provider, vocabulary, word)), key=RANK.__getitem__)
        for word, status in words_of(provider, vocabulary).items()
    }
    return {word: status for word, status in least.items() if status is not Status.FAILED}


def explanations_of(provider: str) -> tuple[Explanation, ...]:
    """Explain every word of a provider, in the order of the table. Raises KeyError."""
    return tuple(
        _explain(provider, vocabulary, word)
        for vocabulary in VOCABULARIES[provider]
        for word in words_of(provider, vocabulary)
    )


def about(provider: str) -> About:
    """Return what is to be known of all words of a provider. Raises KeyError."""
    entry = _TABLE["about"][provider]
    return About(entry["spelling"], tuple(entry["notes"]))


def definition_of(status: Status) -> Definition:
    return Definition(
        status=status,
        rank=RANK.get(status),
        iso20022=ISO20022.get(status),
        meaning=MEANING[status],
        final=FINAL[status],
        action=_ACTION[status],
    )


def _explain(provider: str, vocabulary: str, word: str) -> Explanation:
    entry = _TABLE["provider"][provider][vocabulary]
    return Explanation(
        vocabulary=vocabulary,
        word=word,
        definition=definition_of(words_of(provider, vocabulary)[word]),
        derived=entry.get("derived", {}).get(word),
        may_be=_may_be(provider, vocabulary, word),
    )


def _may_be(provider: str, vocabulary: str, word: str) -> tuple[Status, ...]:
    listed = _TABLE["provider"][provider][vocabulary].get("may_be", {})
    return tuple(map(Status, listed.get(word, ())))


def _column(name: str) -> MappingProxyType[Status, Any]:
    rows = _TABLE["status"].items()
    return MappingProxyType({Status(word): row[name] for word, row in rows if name in row})


_TABLE: Final[dict[str, Any]] = tomllib.loads(
    files("service.domain").joinpath("statuses.toml").read_text("utf-8")
)

# How far a request has come. HELD has no rank: it is entered from anywhere and left to anywhere.
RANK: Final[Mapping[Status, int]] = _column("rank")
# The ISO 20022 payment status. REVERSED has none.
ISO20022: Final[Mapping[Status, str]] = _column("iso20022")
MEANING: Final[Mapping[Status, str]] = _column("meaning")
# When a status is final, in words.
FINAL: Final[Mapping[Status, str]] = _column("final")
_ACTION: Final[Mapping[Status, str]] = _column("action")
# The vocabularies of each provider, in the order of the table.
VOCABULARIES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {provider: tuple(vocabularies) for provider, vocabularies in _TABLE["provider"].items()}
)

_WORDS: Final[Mapping[tuple[str, str], Mapping[str, Status]]] = MappingProxyType(
    {
        (provider, vocabulary): MappingProxyType(
            {word: Status(status) for word, status in entry["words"].items()}
        )
        for provider, vocabularies in _TABLE["provider"].items()
        for vocabulary, entry in vocabularies.items()
    }
)
