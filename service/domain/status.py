"""The canonical statuses and the providers' words for them, read from statuses.toml once.

Source: STATUSES.md, sections 1 and 2.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final


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
class Explanation:
    """What one provider word means. derived says what else decides, None where it decides alone."""

    provider: str
    vocabulary: str
    word: str
    status: Status
    meaning: str
    final: str
    iso20022: str | None
    derived: str | None


def words_of(provider: str, vocabulary: str) -> Mapping[str, Status]:
    """Return every word of a provider's vocabulary with the status that it says by itself.

    A vocabulary is named like the kind of request that speaks it; "payment" is GoCardless's
    second. Raises KeyError for a provider or vocabulary that is not in the table.
    """
    return _WORDS[provider, vocabulary]


def explanation_of(provider: str, word: str) -> tuple[Explanation, ...]:
    """Explain a word in each of the provider's vocabularies that has it, whatever its case.

    The result is empty for a word that is not mapped. Raises KeyError for an unknown provider.
    """
    return tuple(
        _explain(provider, vocabulary, known)
        for vocabulary in VOCABULARIES[provider]
        for known in words_of(provider, vocabulary)
        if known.casefold() == word.strip().casefold()
    )


def _explain(provider: str, vocabulary: str, word: str) -> Explanation:
    status = words_of(provider, vocabulary)[word]
    return Explanation(
        provider=provider,
        vocabulary=vocabulary,
        word=word,
        status=status,
        meaning=MEANING[status],
        final=FINAL[status],
        iso20022=ISO20022.get(status),
        derived=_TABLE["provider"][provider][vocabulary].get("derived", {}).get(word),
    )


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
