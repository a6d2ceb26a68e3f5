"""What must hold after every step, and what must hold once everything has come to rest."""

import json
from collections import defaultdict
from itertools import pairwise
from typing import Any

from service.domain.evidence import check_pack, write_pack
from service.storage.views.evidence import read_evidence
from tests.model.ledger import Ledger
from tests.model.rest import Broken, look_everywhere, rest
from tests.model.world import Model


def check(model: Model) -> None:
    """Check everything that must hold at any time. Raises Broken, naming the promise."""
    for ledger in model.ledgers:
        _closes_only_what_it_read(model, ledger)
        _moves_with_the_provider(model, ledger)
    _promise(not model.wrongs, "nothing goes wrong in a step", *model.wrongs)
    _invents_no_money(model)
    _is_gapless_and_chained(model)
    _tells_once(model)


async def check_at_rest(model: Model) -> None:
    """Let everything finish; what was asked for must be known then, and all of it told.

    After one sweep and one poll the record must be what the provider holds, asked for or not.
    """
    await rest(model)
    check(model)
    _told_everything(model)
    await look_everywhere(model)
    check(model)
    _told_everything(model)
    for ledger in model.ledgers:
        request = model.request(ledger)
        held = ledger.held[-1]
        shown = (request["status"], request["received"], request["refunded"], request["taken_back"])
        wanted = (held.status, held.received, held.refunded, held.taken_back)
        _promise(shown == wanted, "the final state is the provider's", shown, wanted)
    [order] = model.picture["orders"]
    received = sum(ledger.held[-1].received for ledger in model.ledgers)
    _promise(order["received"] == received, "the order adds up", order["received"], received)


async def check_evidence(model: Model) -> None:
    """Have the history of every request checked as an outsider would."""
    for request in model.picture["requests"]:
        pool = model.stage.pools["beat"]
        rows = await read_evidence(pool, request["id"], with_raw=True, at=model.clock)
        assert rows is not None
        checked = check_pack(b"".join(write_pack(rows)))
        _promise(not checked.problems, "the evidence can be checked", checked.problems)


def _closes_only_what_it_read(model: Model, ledger: Ledger) -> None:
    """No generation is closed by an answer that was taken before it was asked for."""
    done = model.due(ledger)["done"]
    _promise(done <= ledger.covers, "a read closes only what it covers", done, ledger.covers)
    recorded = ledger.number_of(model.request(ledger))
    raised = ledger.raised.get(done, 0)
    _promise(recorded >= raised, "no change is lost", ledger, recorded, raised, model.due(ledger))


def _moves_with_the_provider(model: Model, ledger: Ledger) -> None:
    """The record only ever shows what the provider held, and goes forward."""
    request = model.request(ledger)
    steps = [t for t in model.picture["transitions"] if t["subject"] == request["id"]]
    numbers = [ledger.number_of(step["after"]) for step in steps]
    _promise(-1 not in numbers, "every state was the provider's", numbers)
    _promise(
        all(before < after for before, after in pairwise(numbers)),
        "history only goes forward",
        numbers,
    )
    newest = ledger.number_of(request)
    _promise(numbers[-1] == newest, "the record is where its history ends", numbers, newest)
    version = ledger.version(newest)
    _promise(request["version"] == version, "the version is that of the state", request["version"])


def _invents_no_money(model: Model) -> None:
    """Nobody was told of money that no ledger ever held."""
    most = {model.request(ledger)["id"]: ledger.received_max for ledger in model.ledgers}
    [order] = model.picture["orders"]
    most[order["id"]] = sum(most.values())
    for message in model.picture["notifications"]:
        told = json.loads(message["body"])["data"]["received"]["minor"]
        limit = most[message["subject"]]
        _promise(told <= limit, "received is never invented", told, limit)
    for row in (*model.picture["requests"], order):
        _promise(row["received"] <= most[row["id"]], "received is never invented", row)


def _is_gapless_and_chained(model: Model) -> None:
    """Each subject counts 1, 2, 3, each step is chained to the one before and has its message."""
    messages = {(m["subject"], m["sequence"]) for m in model.picture["notifications"]}
    steps = {(t["subject"], t["sequence"]) for t in model.picture["transitions"]}
    _promise(messages == steps, "every change has its message", messages ^ steps)
    by_subject: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for step in model.picture["transitions"]:
        by_subject[step["subject"]].append(step)
    for row in (*model.picture["requests"], *model.picture["orders"]):
        history = by_subject[row["id"]]
        numbers = [step["sequence"] for step in history]
        expected = list(range(1, row["sequence"] + 1))
        _promise(numbers == expected, "sequence has no gap", numbers, row["sequence"])
        links = ["", *(step["hash"] for step in history)]
        _promise([step["from"] for step in history] == links[:-1], "history is chained", row["id"])
        _promise(links[-1] == row["chain"], "the record ends its chain", row["id"])


def _tells_once(model: Model) -> None:
    """What the ERP heard is in the outbox, under one id each, first heard in order."""
    outbox = {(m["subject"], m["sequence"]): m for m in model.picture["notifications"]}
    heard: dict[str, int] = defaultdict(int)
    for arrival in model.far.inbox:
        subject, sequence = arrival["subject"], arrival["sequence"]
        message = outbox.get((subject, sequence))
        _promise(message is not None, "only what is committed is told", subject, sequence)
        assert message is not None
        _promise(message["id"] == arrival["id"], "nothing is told under two ids", subject, sequence)
        _promise(message["body"] == arrival["body"], "what is told stays the same", subject)
        _promise(sequence <= heard[subject] + 1, "the ERP hears in order", subject, sequence)
        heard[subject] = max(heard[subject], sequence)


def _told_everything(model: Model) -> None:
    """Everything in the outbox has arrived, and nothing that was asked for is left."""
    heard = {(arrival["subject"], arrival["sequence"]) for arrival in model.far.inbox}
    outbox = {(m["subject"], m["sequence"]) for m in model.picture["notifications"]}
    _promise(heard == outbox, "the ERP hears everything", outbox - heard)


def _promise(holds: bool, promise: str, *facts: object) -> None:
    if not holds:
        raise Broken(f"{promise}: {facts}")
