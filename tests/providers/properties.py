"""What holds of whatever an adapter makes of hostile bytes, in one place for all that try it."""

from collections.abc import Iterable

from service.domain.event import Event, EventVerdict
from service.domain.request import BelongsTo, NotOurs, Observation, Unmapped
from service.providers import Finding, Page, Provider


def check_events(adapter: Provider, events: Iterable[Event]) -> None:
    """Assert that each event names something of ours to read, or says why nothing is read."""
    for event in events:
        if event.verdict is EventVerdict.ACCEPTED:
            assert event.kind is not None
            assert event.provider_id is not None
            assert adapter.knows(event.kind, event.provider_id)
        else:
            assert (event.kind, event.provider_id) == (None, None)
            assert event.reason


def check_answer(answer: object) -> None:
    """Assert that an answer is in our words, and that its money is whole and not negative."""
    assert isinstance(answer, Observation | BelongsTo | NotOurs | Unmapped)
    if isinstance(answer, Observation):
        assert all(type(amount) is int and amount >= 0 for amount in answer.facts.money)
        assert answer.facts.taken_back <= answer.facts.refunded


def check_page(adapter: Provider, page: Page) -> None:
    """Assert that a page names requests of ours, and that its cursor is text that prints."""
    assert all(adapter.knows(item.kind, item.provider_id) for item in page.items)
    assert page.next is None or (page.next.isascii() and page.next.isprintable())


def check_findings(findings: Iterable[Finding]) -> None:
    """Assert that each finding that is not fine says what to do."""
    for finding in findings:
        assert finding.ok is True or finding.remedy
