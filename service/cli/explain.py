"""`settled explain`: tells what a provider's word means, from the one table of statuses."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from service.domain.status import VOCABULARIES, Explanation, explanation_of, words_of
from service.errors import NotFound


@click.command()
@click.argument("provider")
@click.argument("status")
@click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
def explain(provider: str, status: str, as_json: bool) -> None:
    """Tell what PROVIDER means by STATUS, in our words; exit 5 if it is not mapped."""
    found = find(provider, status)
    click.echo(json.dumps(as_object(found)) if as_json else as_text(found))


def find(provider: str, word: str) -> tuple[Explanation, ...]:
    """Return what a word means in each vocabulary that has it. Raises NotFound."""
    if provider not in VOCABULARIES:
        raise NotFound(f"no provider {provider}; there are {', '.join(VOCABULARIES)}")
    found = explanation_of(provider, word)
    if not found:
        known = sorted({one for kind in VOCABULARIES[provider] for one in words_of(provider, kind)})
        raise NotFound(
            f"{provider} has no status {word} that we know; a request with it is parked with"
            f" `unmapped_status`. Known: {', '.join(known)}"
        )
    return found


def as_object(found: Sequence[Explanation]) -> dict[str, object]:
    """Return the explanations as one object; status is null where the vocabularies differ."""
    statuses = {one.status for one in found}
    return {
        "provider": found[0].provider,
        "word": found[0].word,
        "status": statuses.pop() if len(statuses) == 1 else None,
        "explanations": [asdict(one) for one in found],
    }


def as_text(found: Sequence[Explanation]) -> str:
    return "\n\n".join(_paragraph(one) for one in found)


def _paragraph(one: Explanation) -> str:
    lines = [
        f"{one.provider} {one.vocabulary}: {one.word} -> {one.status}",
        f"  means      {one.meaning}",
        f"  final      {one.final}",
        f"  ISO 20022  {one.iso20022 or '-'}",
    ]
    if one.derived:
        lines.append(f"  also       {one.derived}")
    return "\n".join(lines)
