"""How drift is shown: an object for programs, a row for a person."""

from collections.abc import Mapping
from typing import Any

import click

from service.cli.output import as_text, show_object
from service.cli.reconcile_progress import Show
from service.domain.money import Money
from service.domain.notification import time_text
from service.domain.request import Facts
from service.flow.reconcile import Told
from service.storage.reconciles import Run

COLUMNS = ("drift", "account", "kind", "provider_id", "reference", "ours", "theirs", "repair")


class Teller:
    """Shows how a run goes: progress on stderr; drift at once as JSON, or as rows for a table."""

    def __init__(self, show: Show, rows: list[list[str]], *, as_json: bool) -> None:
        self._show = show
        self._rows = rows
        self._as_json = as_json
        self.last: Run | None = None

    def moved(self, run: Run) -> None:
        is_first = self.last is None or self.last.id != run.id
        if is_first and run.lease_no > 1:
            click.echo(
                f"{run.account}: going on with a run that stopped; its window ends at"
                f" {time_text(run.until)}",
                err=True,
            )
        self.last = run
        self._show(run)

    def found(self, told: Told) -> None:
        shown = as_object(told)
        if self._as_json:
            show_object(shown)
        else:
            sides = {side: in_words(shown[side]) for side in ("ours", "theirs")}
            self._rows.append([as_text((shown | sides)[column]) for column in COLUMNS])


def as_object(told: Told) -> dict[str, Any]:
    """Return a drift as one object; repair is "done", "due", or null in a dry run."""
    drift = told.drift
    request = drift.request
    theirs = state_of(drift.theirs)
    if theirs is None and drift.word is not None:
        theirs = {"status": None, "provider_status": drift.word}
    return {
        "drift": str(drift.drift),
        "account": drift.key.account,
        "kind": str(drift.key.kind),
        "provider_id": drift.key.provider_id,
        "request_id": request.id if request else None,
        "reference": request.reference if request else None,
        "ours": state_of(request.facts) if request else None,
        "theirs": theirs,
        "repair": {None: None, True: "done", False: "due"}[told.is_repaired],
    }


def state_of(facts: Facts | None) -> dict[str, Any] | None:
    """Return a status and its amounts as the API shows them."""
    if facts is None:
        return None
    names = ("amount", "received", "refunded", "taken_back", "booked")
    amounts = {name: getattr(facts, name) for name in names}
    return {"status": str(facts.status), "provider_status": facts.provider_status} | {
        name: None if minor is None else Money(minor, facts.currency).as_json()
        for name, minor in amounts.items()
    }


def in_words(state: Mapping[str, Any] | None) -> str | None:
    """Return a state for a column: status, what came of what was asked, and what went back."""
    if state is None:
        return None
    if "received" not in state:
        return str(state["provider_status"])
    asked_for = state["amount"]["decimal"] if state["amount"] else "open"
    text = f"{state['status']} {state['received']['decimal']}/{asked_for}"
    back = state["refunded"]
    return f"{text} -{back['decimal']}" if back["minor"] else text
