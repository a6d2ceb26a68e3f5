"""Whatever the provider answers, we read it, or say that we cannot; and marks tell the truth."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from service.domain.request import Facts, NotOurs, Observation, Unmapped
from service.errors import NotFoundThere, SettledError, Unauthorised, Unavailable, Unreadable
from service.providers import Finding
from tests.providers.exchange import always, run
from tests.providers.payment_requests_v2_bodies import (
    CREATED_AT,
    LONG_AGO,
    order,
    orders,
    read,
    transfer,
)

ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
META = st.fixed_dictionaries(
    dict.fromkeys(("records", "per_page", "page", "pages"), st.integers(0, 3) | ODD)
)
FIELDS = ("id", "client_account_id", "created_at", "payment_status", "transfers", "data", "meta")
ENTRIES = st.dictionaries(st.sampled_from(FIELDS), ODD).map(lambda changes: order(**changes))
PAGES = st.fixed_dictionaries(
    {"meta": META | ODD, "data": st.lists(ENTRIES | ODD, max_size=3) | ODD}
)
BODIES = st.binary(max_size=40) | (ODD | ENTRIES | PAGES).map(
    lambda body: json.dumps(body).encode()
)
ERRORS = st.sampled_from(
    [None, Unauthorised("http_403"), Unreadable("http_422"), Unavailable("http_502")]
)

# Transfers of few kinds, so that many are alike.
TRANSFERS = st.lists(
    st.builds(
        transfer,
        st.sampled_from(["initiated", "accepted", "completed", "acsc", "rejected", "returned"]),
        st.sampled_from([1, 2, 3]),
        currency_code=st.sampled_from(["NOK", "NOK", "EUR"]),
    ),
    min_size=1,
    max_size=4,
)
SYNONYMS = {"completed": "EXECUTED", "acsc": " Acsc ", "rejected": "rjct", "accepted": "actc"}


@given(BODIES, st.sampled_from([None, "1", "2", "2-0123456789abcdef"]))
def test_any_page_is_unreadable_or_names_orders_of_ours(body: bytes, cursor: str | None) -> None:
    try:
        page, _ = run(orders().list_page(LONG_AGO, CREATED_AT, cursor), always(body))
    except Unreadable:
        return

    assert all(orders().knows(item.kind, item.provider_id) for item in page.items)
    assert len({item.provider_id for item in page.items}) == len(page.items)
    assert page.next is None or next(orders().look_through(LONG_AGO, page.next))


@given(BODIES)
def test_any_answer_to_a_read_is_unreadable_or_an_answer_in_our_words(body: bytes) -> None:
    try:
        answer = read(always(body))
    except Unreadable:
        return

    assert isinstance(answer, Observation | NotOurs | Unmapped)


@given(BODIES | ERRORS, BODIES | ERRORS)
def test_any_answers_to_a_check_end_in_findings_or_an_error_of_ours(
    listing: bytes | SettledError | None, accounts: bytes | SettledError | None
) -> None:
    given_answers = iter((listing, accounts))
    try:
        found, _ = run(orders().check(None), lambda asked: next(given_answers))
    except (NotFoundThere, Unauthorised, Unavailable, Unreadable):
        return

    assert all(type(one) is Finding and (one.ok is True or one.remedy) for one in found)


def facts_and_mark(body: Mapping[str, Any], known: Facts | None) -> tuple[Facts, str | None]:
    """Read an order; what it comes to, and the mark that the list shows of it."""
    answer = read(always(json.dumps(body).encode()), known)
    assert isinstance(answer, Observation)
    assert answer.listing is not None
    shown = {"meta": {"records": 1, "per_page": 1, "page": 1, "pages": 1}, "data": [body]}
    page, _ = run(orders().look_through(LONG_AGO, None), always(json.dumps(shown).encode()))
    assert page.items[0].mark == answer.listing.mark
    return answer.facts, answer.listing.mark


@given(TRANSFERS, TRANSFERS, TRANSFERS)
def test_an_order_with_the_same_mark_comes_to_the_same_facts(
    before: list[dict[str, Any]], now: list[dict[str, Any]], edits: list[dict[str, Any]]
) -> None:
    known, _ = facts_and_mark(order(*before), None)
    facts, mark = facts_and_mark(order(*now), known)
    for place, edit in zip(range(len(now)), edits, strict=False):
        for field in ("payment_status", "amount", "currency_code"):
            edited = [*now]
            edited[place] = {**now[place], field: edit[field]}
            again, same_mark = facts_and_mark(order(*edited), facts)

            assert again == facts or same_mark != mark


@given(TRANSFERS, TRANSFERS, st.randoms(use_true_random=False))
def test_other_spellings_and_another_order_of_transfers_leave_facts_and_mark(
    before: list[dict[str, Any]], now: list[dict[str, Any]], random: Any
) -> None:
    known, _ = facts_and_mark(order(*before), None)
    body = order(*now)
    turned = [
        {**one, "payment_status": SYNONYMS.get(one["payment_status"], one["payment_status"])}
        for one in body["transfers"]
    ]
    random.shuffle(turned)

    first = facts_and_mark(body, known)

    assert facts_and_mark({**body, "transfers": turned}, first[0]) == first
