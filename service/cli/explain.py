"""`settled explain`: tells what a provider's word means, from the one table of statuses."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

import click

from service.domain.status import (
    VOCABULARIES,
    About,
    Definition,
    Explanation,
    Status,
    about,
    definition_of,
    explanations_of,
)
from service.errors import NotFound

UNMAPPED = (
    "A request whose answer has it keeps the status that it has and is parked with attention"
    " `unmapped_status`; nothing of it is sent, the error `request.parked` is logged as an alarm,"
    " and it is read again at the polling interval."
)

SPELLING = {
    "exact": "compared as they are: in another spelling a word is unmapped",
    "folded": "compared without blanks around them and in any case",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a word is to a provider: a word of its own, one of our statuses, or both.

    mapped is whether an answer of the provider with the word as asked is understood. sayings are
    the provider's words that say our status, or may come to it.
    """

    provider: str
    about: About
    asked: str
    mapped: bool
    explanations: tuple[Explanation, ...]
    canonical: Definition | None
    sayings: tuple[Explanation, ...]


@click.command()
@click.argument("provider")
@click.argument("status")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def explain(provider: str, status: str, as_json: bool) -> None:
    """Tell what PROVIDER means by STATUS, in our words; exit 5 if it is not mapped.

    STATUS is a word of the provider, of any of its kinds, or one of our own: then it tells which
    of the provider's words lead to it.

    Example: settled explain gocardless paid_out
    """
    found = find(provider, status)
    click.echo(json.dumps(as_object(found)) if as_json else as_text(found))


def find(provider: str, asked: str) -> Found:
    """Return what a word means in each vocabulary that has it. Raises NotFound.

    A word in another case is found, too: a person asks, and is told how words are compared.
    """
    if provider not in VOCABULARIES:
        raise NotFound(f"no provider {provider!r}; there are {', '.join(VOCABULARIES)}")
    folded = asked.strip().casefold()
    every = explanations_of(provider)
    explanations = tuple(one for one in every if one.word.casefold() == folded)
    canonical = Status(folded) if folded in set(Status) else None
    if not explanations and canonical is None:
        raise NotFound(
            f"{provider} has no status {asked!r} that we know. {UNMAPPED} {_known(every)} Map it"
            f" with `words` at the account. Our own statuses: {', '.join(Status)}."
        )
    known = about(provider)
    spellings = {asked, folded} if known.spelling == "folded" else {asked}
    return Found(
        provider,
        known,
        asked,
        mapped=any(one.word in spellings for one in explanations),
        explanations=explanations,
        canonical=definition_of(canonical) if canonical else None,
        sayings=tuple(one for one in every if canonical in (one.definition.status, *one.may_be)),
    )


def as_object(found: Found) -> dict[str, object]:
    """Return what was found as one object; status is null where the vocabularies differ."""
    statuses = {one.definition.status for one in found.explanations}
    if not statuses and found.canonical:
        statuses = {found.canonical.status}
    words = {one.word for one in found.explanations}
    return {
        "provider": found.provider,
        "word": words.pop() if words else found.asked,
        "status": statuses.pop() if len(statuses) == 1 else None,
        "explanations": [_object_of(found.provider, one) for one in found.explanations],
        "canonical": found.canonical
        and {
            **asdict(found.canonical),
            "said_by": [
                {
                    "vocabulary": one.vocabulary,
                    "word": one.word,
                    "by_itself": one.definition.status == found.canonical.status,
                }
                for one in found.sayings
            ],
        },
        "mapped": found.mapped,
        "spelling": found.about.spelling,
        "notes": list(found.about.notes),
    }


def as_text(found: Found) -> str:
    """Return what was found for a person: a paragraph for each meaning, then the notes."""
    paragraphs = [_of_a_word(found.provider, one) for one in found.explanations]
    if found.canonical:
        paragraphs.append(_of_our_own(found, found.canonical))
    notes = [f"words of {found.provider} are {SPELLING[found.about.spelling]}", *found.about.notes]
    if not found.mapped:
        notes.insert(0, f"{found.asked!r} as it stands is no word of {found.provider}. {UNMAPPED}")
    paragraphs.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(paragraphs)


def _known(every: Iterable[Explanation]) -> str:
    """Return a sentence for each vocabulary, naming its words."""
    words: dict[str, list[str]] = {}
    for one in every:
        words.setdefault(one.vocabulary, []).append(one.word)
    return " ".join(f"Known of {name}: {', '.join(known)}." for name, known in words.items())


def _object_of(provider: str, one: Explanation) -> dict[str, object]:
    return {
        "provider": provider,
        "vocabulary": one.vocabulary,
        "word": one.word,
        **asdict(one.definition),
        "derived": one.derived,
        "may_be": list(one.may_be),
    }


def _of_a_word(provider: str, one: Explanation) -> str:
    also = {"decides": one.derived, "may be": ", ".join(one.may_be)}
    heading = f"{provider} {one.vocabulary}: {one.word} -> {one.definition.status}"
    return "\n".join([heading, *_lines({**_fields(one.definition), **also})])


def _of_our_own(found: Found, canonical: Definition) -> str:
    by_itself = [one for one in found.sayings if one.definition.status == canonical.status]
    others = [one for one in found.sayings if one not in by_itself]
    said = {"said by": _words(by_itself) or "no word by itself", "also from": _words(others)}
    is_told = any(one.definition == canonical for one in found.explanations)
    heading = f"our own status: {canonical.status}"
    return "\n".join([heading, *_lines(said if is_told else {**_fields(canonical), **said})])


def _fields(definition: Definition) -> dict[str, str]:
    return {
        "means": definition.meaning,
        "rank": "-" if definition.rank is None else str(definition.rank),
        "ISO 20022": definition.iso20022 or "-",
        "final": definition.final,
        "then": definition.action,
    }


def _words(explanations: Iterable[Explanation]) -> str:
    return ", ".join(f"{one.word} ({one.vocabulary})" for one in explanations)


def _lines(fields: Mapping[str, str | None]) -> Iterator[str]:
    return (f"  {name.ljust(9)}  {value}" for name, value in fields.items() if value)
