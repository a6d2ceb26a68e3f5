"""Mistakes seen in public integrations, which ours does not make. Source: fact sheet, section 18.

Each is tested where the part stands that would make it; here are those of the adapter together
with the lifecycle, and what the enumerations of the fact sheet allow.
"""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.event import Call, Event
from service.domain.lifecycle import Stale, Transition, advance
from service.domain.money import EXPONENTS
from service.domain.request import Kind, Observation, PaymentRequest
from service.domain.status import Status
from service.errors import NotFoundThere, Unreadable
from service.providers.ginger.links import LINK_WORDS
from service.providers.ginger.verdict import TRANSACTION_WORDS, WORDS
from tests.builders import request
from tests.providers.exchange import always, at_paths, run
from tests.providers.ginger_bodies import (
    NOW,
    ORDER,
    OURS,
    REFUND,
    UNPAID,
    at,
    attempt,
    ginger,
    link,
    order,
    read_link,
    seen,
    transaction,
    unpaid,
)
from tests.providers.test_contract import mutated
from tests.providers.world import recording

STATUSES = json.loads(recording("ginger", "statuses.json"))


def after(*observations: Observation) -> PaymentRequest:
    """Return what is recorded after these reads, none of which may be refused."""
    recorded = replace(request(None, provider_id=ORDER))
    for lease_no, observation in enumerate(observations, start=1):
        verdict = advance(recorded, observation, lease_no=lease_no)
        assert isinstance(verdict, Transition)
        recorded = verdict.after
    return recorded


def test_an_older_order_of_the_same_invoice_is_read_like_the_newest() -> None:
    """Plugins drop a call whose order is not the last one they made for the invoice."""
    adapter = ginger()
    for order_id in (ORDER, REFUND):
        body = {"event": "status_changed", "order_id": order_id, "project_id": OURS}
        told = adapter.verify(Call({}, json.dumps(body).encode(), received_at=NOW))
        answer, _ = run(
            adapter.read(Kind.ORDER, order_id, None),
            always(json.dumps(order(id=order_id)).encode()),
        )

        assert told == [Event(Kind.ORDER, order_id)]
        assert isinstance(answer, Observation)
        assert (answer.reference, answer.facts.received) == ("SI-1", 5000)


@pytest.mark.parametrize("word", ["error", "declined"])
def test_a_success_after_a_failure_is_not_lost(word: str) -> None:
    failed = seen(order(status=word, modified="2024-05-14T09:10:00Z", **UNPAID))

    recorded = after(failed, seen(order()))

    assert recorded.facts is not None
    assert (recorded.facts.status, recorded.facts.received) == (Status.PAID, 5000)
    assert recorded.attention == frozenset()


@pytest.mark.parametrize("word", ["new", "processing", "error", "cancelled", "expired"])
def test_a_late_older_picture_never_downgrades_a_paid_order(word: str) -> None:
    late = seen(order(status=word, modified="2024-05-14T09:13:00Z", **UNPAID))

    assert advance(after(seen(order())), late, lease_no=2) == Stale()


@pytest.mark.parametrize("word", ["cancelled", "expired"])
def test_money_after_the_end_is_taken_at_the_apis_word_and_shown_to_a_person(word: str) -> None:
    ended = seen(order(status=word, modified="2024-05-14T09:10:00Z", **UNPAID))

    recorded = after(ended, seen(order()))

    assert recorded.facts is not None
    assert recorded.facts.status is Status.PAID
    assert recorded.attention == {"late_money"}


def test_an_order_without_status_cancels_nothing() -> None:
    body = {name: value for name, value in order().items() if name != "status"}

    with pytest.raises(Unreadable):
        seen(body)


# The enumerations of the fact sheet (sections 8, 12 and 15)


def test_every_currency_that_is_accepted_has_an_exponent() -> None:
    codes = json.loads(recording("ginger", "currencies.json"))

    assert len(codes) == 87
    assert set(codes) <= set(EXPONENTS)


def test_every_word_that_is_documented_is_mapped_and_none_of_plugin_code_is() -> None:
    orders = STATUSES["webhook_order_status"] + STATUSES["order_status_seen_outside_webhook_enum"]
    links = STATUSES["payment_link_status_documented"] + STATUSES["payment_link_status_assumed"]
    transactions = STATUSES["transaction_status"] + STATUSES["transaction_status_legacy"]

    assert set(orders) == set(WORDS)
    assert set(links) == set(LINK_WORDS)
    assert set(transactions) == TRANSACTION_WORDS


@pytest.mark.parametrize("word", STATUSES["webhook_order_status"])
def test_an_order_ends_by_those_words_that_are_terminal(word: str) -> None:
    paid = {} if word == "completed" else UNPAID

    assert seen(order(status=word, **paid)).facts.final is (
        word in STATUSES["order_status_terminal"]
    )


def test_the_link_of_the_reference_is_paid_by_its_winner() -> None:
    """Its id is a placeholder there; under a real one it is a link like any other."""
    body = json.loads(recording("ginger", "payment_link_completed_reference_example.json"))
    loser, winner = body["orders"]["error"][0], body["completed_order_id"]
    lost = unpaid(1, "error", id=loser)
    won = attempt(1, id=winner, transactions=[transaction(amount=995)])
    answer, calls = read_link({**body, "id": link()["id"]}, lost, won)

    assert isinstance(answer, Observation)
    assert (answer.facts.status, answer.facts.received, answer.facts.final, calls) == (
        Status.PAID, 995, True, 3
    )  # fmt: skip


# Whatever is answered


@given(mutated(recording("ginger", "orders_list_reference_example.json")) | st.binary(max_size=40))
def test_any_answer_to_a_list_is_unreadable_or_ids_that_can_be_asked_for(body: bytes) -> None:
    adapter = ginger()
    try:
        page, _ = run(adapter.list_page(NOW, NOW, None), always(body))
    except Unreadable:
        return

    assert all(adapter.knows(item.kind, item.provider_id) for item in page.items)


@given(st.data())
def test_any_answers_about_a_link_and_its_attempts_are_unreadable_or_an_answer(
    data: st.DataObject,
) -> None:
    attempts = [attempt(1, refund_orders=[REFUND]), unpaid(2, "error"), unpaid(3, "processing")]
    back = order(id=REFUND, refund_of_order_id=attempts[0]["id"])
    bodies = {f"/v1/paymentlinks/{link()['id']}/": link(*attempts), **at(*attempts, back)}
    spoilt: dict[str, object] = dict(bodies)
    for path in data.draw(st.lists(st.sampled_from(sorted(bodies)), max_size=2, unique=True)):
        spoilt[path] = data.draw(mutated(json.dumps(bodies[path]).encode()) | st.binary(max_size=9))
    try:
        answer, requests = run(
            ginger().read(Kind.PAYMENT_LINK, link()["id"], None), at_paths(spoilt)
        )
    except (Unreadable, NotFoundThere):
        return

    assert all(str(one.url).startswith("https://api.psp.example/v1/") for one in requests)
    if isinstance(answer, Observation):
        assert min(answer.facts.money) >= 0
        assert answer.facts.taken_back <= answer.facts.refunded
        assert all(ginger().knows(one.kind, one.provider_id) for one in answer.related)
