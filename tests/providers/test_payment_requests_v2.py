"""The traps of payment orders, one test each. Source: fact sheet payment_requests_v2."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.domain.lifecycle import NoChange, Transition, advance
from service.domain.request import (
    Answer,
    Direction,
    Facts,
    Key,
    Kind,
    NotOurs,
    Observation,
    PaymentRequest,
    Unmapped,
)
from service.domain.status import Status
from service.errors import Misconfigured, NotFoundThere, Unavailable, Unreadable
from service.providers import (
    AccountContext,
    HasList,
    Listed,
    NeedsSession,
    Page,
    SendsWebhooks,
    Session,
)
from service.providers.payment_requests_v2 import PaymentRequestsV2, PaymentRequestsV2Keys
from service.settings import Secret, parse
from tests.providers.exchange import Responder, always, at_paths, run
from tests.providers.world import recording

LIST = "/api/v2/payment-requests"
RELATIONS = "transfers.debtor.bank_account%2Ctransfers.creditor.bank_account"
HERE = f"{LIST}/41?client_account_id=123&with={RELATIONS}"
CREATED_AT = datetime(2025, 3, 3, 12, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
SETTLED, PAID, PART_PAID = Status.SETTLED, Status.PAID, Status.PART_PAID


def orders(
    token: Secret | None = None, words: Mapping[str, Status] | None = None
) -> PaymentRequestsV2:
    keys = PaymentRequestsV2Keys(
        api_base="https://api.partner.example/api/v2/",
        api_token=token or Secret("t0ken"),
        client_account_id=123,
    )
    return PaymentRequestsV2(keys, AccountContext("partner", words or {}, live=False))


def transfer(word: str | int = "initiated", amount: float = 1500, **changes: Any) -> dict[str, Any]:
    return {
        "debtor": {"bank_account_id": 456},
        "creditor": {"bank_account_id": 789},
        "requested_transfer_date": "2025-03-05",
        "payment_status": word,
        "amount": amount,
        "currency_code": "NOK",
        **changes,
    }


def order(*transfers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a payment order with these transfers; None takes a field away."""
    listed = transfers or (transfer(),)
    body = {
        "id": 41,
        "created_at": "2025-03-03T12:00:00Z",
        "client_account_id": 123,
        "payment_status": "initiated",
        "transfers": [{"id": 411 + number, **one} for number, one in enumerate(listed)],
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def read(
    answer: Responder, known: Facts | None = None, words: Mapping[str, Status] | None = None
) -> Answer:
    return run(orders(words=words).read(Kind.PAYMENT_REQUEST, "41", known), answer)[0]


def seen(
    body: dict[str, Any] | bytes,
    known: Facts | None = None,
    words: Mapping[str, Status] | None = None,
) -> Observation:
    """Read an order that is known to be an observation."""
    observation = read(at_paths({HERE: body}), known, words)
    assert isinstance(observation, Observation)
    return observation


def status_of(*said: str | int, words: Mapping[str, Status] | None = None) -> tuple[Status, bool]:
    """Return status and final of an order whose transfers say these words."""
    facts = seen(order(*(transfer(word) for word in said)), words=words).facts
    return facts.status, facts.final


def money_of(body: dict[str, Any], known: Facts | None = None) -> tuple[int, int, int, int]:
    return seen(body, known).facts.money


# Mistake 1: the client account is left out


def test_a_read_names_the_client_account() -> None:
    _, (asked,) = run(orders().read(Kind.PAYMENT_REQUEST, "41", None), at_paths({HERE: order()}))

    assert asked.url.params["client_account_id"] == "123"
    assert asked.url.params["with"] == (
        "transfers.debtor.bank_account,transfers.creditor.bank_account"
    )


def test_an_order_of_another_client_account_is_not_ours() -> None:
    answer = read(at_paths({HERE: order(client_account_id=124)}))

    assert answer == NotOurs("foreign_client_account")


def test_an_order_without_client_account_is_not_shown_to_be_ours() -> None:
    with pytest.raises(Unreadable):
        seen(order(client_account_id=None))


# Mistake 2: only the request's own status is looked at


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["initiated", "initiated"], (Status.CREATED, False)),
        (["accepted", "pending_approval"], (Status.AUTHORISING, False)),
        (["acsp", "rejected"], (Status.PROCESSING, False)),
        (["completed", "initiated"], (PART_PAID, False)),
        (["completed", "rejected"], (PART_PAID, True)),
        (["acsc", "rejected"], (PART_PAID, False)),
        (["acsc", "completed"], (PAID, False)),
        (["completed", "executed"], (SETTLED, True)),
        (["cancelled", "cancelled"], (Status.CANCELLED, True)),
        (["cancelled", "rejected"], (Status.REJECTED, True)),
        (["rejected", "failed"], (Status.FAILED, True)),
    ],
)
def test_transfers_are_judged_one_by_one_and_all_have_to_be_done(
    said: list[str], expected: tuple[Status, bool]
) -> None:
    assert status_of(*said) == expected
    assert status_of(*reversed(said)) == expected


def test_a_request_that_says_completed_does_not_hide_a_failed_transfer() -> None:
    body = order(transfer("completed"), transfer("failed", 200), payment_status="completed")
    observation = seen(body)

    assert (observation.facts.status, observation.facts.received) == (PART_PAID, 150_000)
    assert observation.attention == {"transfers_disagree"}


def test_a_request_whose_own_word_lags_behind_its_transfers_is_nothing_to_look_at() -> None:
    assert seen(order(transfer("completed"))).attention == frozenset()
    assert seen(order(transfer("completed"), transfer("rejected"))).attention == frozenset()


def test_a_request_that_says_cancelled_while_transfers_go_on_is_to_be_looked_at() -> None:
    observation = seen(order(transfer("accepted"), payment_status="cancelled"))

    assert observation.facts.status is Status.ACCEPTED
    assert observation.attention == {"transfers_disagree"}


def test_a_frozen_transfer_holds_an_order_of_which_nothing_is_done() -> None:
    words = {"frozen": Status.HELD}

    assert status_of("frozen", "initiated", words=words) == (Status.HELD, False)
    assert status_of("frozen", "completed", words=words) == (PART_PAID, False)


# Mistake 3: amounts taken as minor units or binary floats


@pytest.mark.parametrize(
    ("number", "currency", "minor"),
    [
        ("1500", "NOK", 150_000),
        ("249.5", "NOK", 24_950),
        ("0.29", "NOK", 29),
        ("1500.000", "NOK", 150_000),
        ("1500", "JPY", 1500),
        ("1500.0", "JPY", 1500),
        ("1.234", "KWD", 1234),
    ],
)
def test_amounts_are_decimal_major_units(number: str, currency: str, minor: int) -> None:
    body = json.dumps(order(transfer("completed", 777, currency_code=currency)))
    facts = seen(body.replace("777", number).encode()).facts

    assert (facts.currency, facts.amount, facts.received) == (currency, minor, minor)


@pytest.mark.parametrize(
    "number", ["0.30000000000000004", "0", "-1", "true", "null", '"1500"', "NaN", "1e40"]
)
def test_an_amount_that_is_none_is_unreadable(number: str) -> None:
    body = json.dumps(order(transfer(amount=777))).replace("777", number)

    with pytest.raises(Unreadable):
        seen(body.encode())


@pytest.mark.parametrize("currency", ["nok", "XXX", "", None, 578])
def test_an_unknown_currency_is_unreadable(currency: object) -> None:
    with pytest.raises(Unreadable):
        seen(order(transfer(currency_code=currency)))


def test_received_is_what_is_done_and_booked_what_has_arrived() -> None:
    body = order(transfer("acsc", 100), transfer("accc", 50), transfer("initiated", 7))

    assert money_of(body) == (15_000, 0, 0, 5_000)
    assert seen(body).facts.amount == 15_700


def test_the_amounts_of_other_currencies_are_left_out_and_flagged() -> None:
    body = order(transfer("completed", 100, currency_code="EUR"), transfer("rejected", 50))
    observation = seen(body)

    assert (observation.facts.currency, observation.facts.amount) == ("EUR", 10_000)
    assert (observation.facts.status, observation.facts.received) == (PART_PAID, 10_000)
    assert observation.attention == {"several_currencies"}


def test_the_currency_that_was_told_before_stays_though_the_order_of_transfers_changes() -> None:
    transfers = transfer("acsp", 100, currency_code="EUR"), transfer("acsp", 50)
    known = seen(order(*transfers)).facts

    assert seen(order(*reversed(transfers)), known).facts == known
    assert seen(order(transfer("acsp", 50)), known).facts.currency == "NOK"


# Money that comes back


def test_money_that_returns_after_it_was_settled_is_taken_back() -> None:
    known = seen(order(transfer("completed"), transfer("completed", 200))).facts
    facts = seen(order(transfer("completed"), transfer("returned", 200)), known).facts

    assert facts.money == (170_000, 20_000, 20_000, 150_000)
    assert (facts.status, facts.final, facts.reason) == (PAID, True, "returned")


def test_a_return_that_is_read_again_is_the_same_return() -> None:
    known = seen(order(transfer("completed"))).facts
    back = seen(order(transfer("returned")), known).facts

    assert seen(order(transfer("returned")), back).facts == back
    assert back.money == (150_000, 150_000, 150_000, 0)


def test_an_order_of_which_all_returned_is_reversed() -> None:
    before = recorded(seen(order(transfer("completed"))))
    verdict = advance(before, seen(order(transfer("returned")), before.facts), lease_no=2)

    assert isinstance(verdict, Transition)
    assert verdict.after.facts is not None
    assert (verdict.after.facts.status, verdict.correction) == (Status.REVERSED, True)


def test_a_return_of_money_that_we_never_saw_go_out_is_a_failure() -> None:
    known = seen(order(transfer("accepted"))).facts
    facts = seen(order(transfer("returned")), known).facts

    assert (facts.status, facts.final, facts.money) == (Status.FAILED, True, (0, 0, 0, 0))


# Mistake 4: the cursor pages of another document


def listed(
    body: object, *, cursor: str | None = None, since: datetime = LONG_AGO
) -> tuple[Page, httpx.Request]:
    exchange = orders().list_page(since, CREATED_AT, cursor)
    page, (asked,) = run(exchange, always(json.dumps(body).encode()))
    return page, asked


def page_of(*ids: object, page: int = 1, pages: int = 3) -> dict[str, Any]:
    data = [{"id": one, "created_at": "2025-03-03T12:00:00Z"} for one in ids]
    return {"meta": {"records": 25, "per_page": 10, "page": page, "pages": pages}, "data": data}


def walk(bodies: Sequence[bytes]) -> tuple[list[str], list[str]]:
    """Walk a list to its end; return the ids found and the paths asked for."""
    ids, paths, cursor = [], [], None
    for body in bodies:
        page, (asked,) = run(orders().list_page(LONG_AGO, CREATED_AT, cursor), always(body))
        ids += [item.provider_id for item in page.items]
        paths.append(asked.url.raw_path.decode())
        cursor = page.next
    assert cursor is None
    return ids, paths


def test_a_list_is_walked_by_page_numbers_to_its_last_page() -> None:
    pages = [recording("payment_requests_v2", f"page_{number}_of_3.json") for number in (1, 2, 3)]
    ids, paths = walk(pages)

    assert ids == [str(number) for number in range(100, 125)]
    assert paths == [f"{LIST}?client_account_id=123&page={n}&per_page=100" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    "body",
    [
        {"data": []},
        {"data": [], "pagination": {"hasMore": False, "nextCursor": None}},
        {"data": [], "meta": None},
        {"data": [], "meta": {"page": 1}},
        {"meta": {"page": 1, "pages": 1}},
        [],
    ],
)
def test_a_list_without_its_page_numbers_fails_loudly(body: object) -> None:
    with pytest.raises(Unreadable):
        listed(body)


def test_a_page_that_was_not_asked_for_fails_loudly() -> None:
    with pytest.raises(Unreadable, match="another page"):
        listed(page_of(100, page=1), cursor="2")


@pytest.mark.parametrize(
    "body",
    [
        page_of(100, page=3, pages=3),
        page_of(page=4, pages=3),
        page_of(page=2, pages=9),
        page_of(page=1, pages=0),
    ],
)
def test_a_list_ends_with_its_last_page_an_empty_one_or_one_beyond_the_end(body: Any) -> None:
    page = body["meta"]["page"]

    assert listed(body, cursor=str(page))[0].next is None


def test_the_last_page_shown_again_beyond_the_end_ends_the_list() -> None:
    assert listed(page_of(124, page=3, pages=3), cursor="4")[0].next is None


def test_an_order_twice_on_a_page_counts_once() -> None:
    items = listed(page_of(100, "100", 7))[0].items

    assert items == tuple(Listed(Kind.PAYMENT_REQUEST, one, None) for one in ("7", "100"))


def test_a_list_tells_of_nothing_older_than_the_sweep_looks_back() -> None:
    body = page_of(100)

    assert len(listed(body, since=CREATED_AT)[0].items) == 1
    later = listed(body, since=CREATED_AT + timedelta(seconds=1))[0]
    assert (later.items, later.next) == ((), "2")


@pytest.mark.parametrize("entry", [{}, {"id": 41}, 7, None])
def test_a_list_with_an_entry_of_another_shape_is_unreadable(entry: object) -> None:
    with pytest.raises(Unreadable):
        listed({**page_of(), "data": [entry]})


@pytest.mark.parametrize("wrong", [0, -1, "../users/me", "", None, 1.5, True])
def test_ids_in_a_list_reach_no_url_unchecked(wrong: object) -> None:
    with pytest.raises(Unreadable):
        listed(page_of(wrong))


@pytest.mark.parametrize("cursor", ["", "0", "-1", "1.0", "²", "9" * 10])
def test_a_cursor_that_is_no_page_is_unreadable(cursor: str) -> None:
    with pytest.raises(Unreadable):
        next(orders().list_page(LONG_AGO, CREATED_AT, cursor))


# Mistake 5: the token of 24 hours


def opened(adapter: PaymentRequestsV2) -> Session:
    session, requests = run(adapter.open_session({}), always(b""))
    assert requests == []
    return session


def test_a_new_token_is_taken_from_its_file_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "partner.token"
    file.write_text("yesterday\n")
    adapter = orders(Secret.read(file))
    file.write_text("today\n")

    assert opened(adapter) == Session({"token": "today"}, 86_400.0)


def test_a_token_that_came_from_no_file_stays_what_it_is() -> None:
    assert opened(orders()).values == {"token": "t0ken"}


@pytest.mark.parametrize("text", [None, "", "two\nlines", "tök", "with blank"])
def test_a_token_file_that_is_being_written_is_tried_again_later(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "partner.token"
    file.write_text("yesterday")
    adapter = orders(Secret.read(file))
    file.unlink() if text is None else file.write_text(text)

    with pytest.raises(Unavailable):
        opened(adapter)


def test_every_call_carries_the_token() -> None:
    asked = httpx.Request("GET", "https://api.partner.example/x?a=b", headers={"Accept": "a/b"})
    sent = orders().authorise(asked, Session({"token": "t0ken"}, 1.0))

    assert (sent.url, sent.headers["accept"]) == (asked.url, "a/b")
    assert sent.headers["authorization"] == "Bearer t0ken"
    assert "authorization" not in asked.headers


# Mistake 6: a POST that is repeated


def test_nothing_but_reads_is_ever_sent() -> None:
    exchanges = (
        orders().read(Kind.PAYMENT_REQUEST, "41", None),
        orders().list_page(LONG_AGO, CREATED_AT, None),
    )

    assert {next(exchange).method for exchange in exchanges} == {"GET"}
    assert isinstance(orders(), NeedsSession)
    assert isinstance(orders(), HasList)
    assert not isinstance(orders(), SendsWebhooks)


# Mistake 7: unknown words taken for paid or failed


@pytest.mark.parametrize(
    "body",
    [
        order(transfer("sent_to_bank")),
        order(transfer("completed"), transfer("sent_to_bank")),
        order(transfer("completed"), payment_status="sent_to_bank"),
    ],
)
def test_an_unknown_word_anywhere_is_no_verdict(body: dict[str, Any]) -> None:
    assert read(at_paths({HERE: body})) == Unmapped("sent_to_bank")


def test_an_unknown_word_is_kept_as_it_came() -> None:
    assert read(at_paths({HERE: order(transfer(" Sent "))})) == Unmapped(" Sent ")
    assert read(at_paths({HERE: order(transfer(9))})) == Unmapped("9")


@pytest.mark.parametrize("word", ["ACCC", " accc\t", "Completed", "EXECUTED", "7", 7])
def test_words_are_compared_trimmed_and_whatever_their_case(word: str | int) -> None:
    assert status_of(word) == (SETTLED, True)


def test_a_word_of_the_accounts_own_goes_over_the_table_whatever_its_case() -> None:
    words = {"Sent_To_Bank": Status.PROCESSING, "ACCEPTED ": Status.PROCESSING}

    assert status_of("sent_to_bank", words=words) == (Status.PROCESSING, False)
    assert status_of("accepted", words=words) == (Status.PROCESSING, False)


@pytest.mark.parametrize("word", [None, "", "  ", True, 1.5, ["completed"], "x" * 101])
def test_a_missing_or_malformed_status_is_no_verdict(word: Any) -> None:
    with pytest.raises(Unreadable):
        seen(order(transfer(word)))
    with pytest.raises(Unreadable):
        seen({**order(), "payment_status": word})


# Mistake 8: counted as incoming


@pytest.mark.parametrize("word", ["initiated", "completed", "rejected"])
def test_the_money_goes_out(word: str) -> None:
    assert seen(order(transfer(word))).direction is Direction.OUT


# Answers (section 2)


def test_a_single_order_may_be_wrapped() -> None:
    assert seen({"data": order()}) == seen(order())


def test_ids_may_be_text() -> None:
    assert seen(order(id="41", client_account_id="123")) == seen(order())


def test_an_answer_for_another_order_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="another"):
        seen(order(id=42))


def test_an_order_that_cannot_be_found_is_the_callers_business() -> None:
    with pytest.raises(NotFoundThere):
        read(at_paths({}))


@pytest.mark.parametrize(
    "body",
    [
        order(transfers=[]),
        order(transfers=None),
        order(transfer(id=1), transfer(id=1)),
        order(transfer(id=None)),
        order(created_at="2025-03-03T12:00:00"),
        order(created_at="2025-02-30T12:00:00Z"),
        {"data": [order()]},
    ],
)
def test_an_order_of_another_shape_is_unreadable(body: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        seen(body)


def test_an_order_happened_when_it_was_made_and_later_nobody_says_when() -> None:
    assert seen(order()).occurred_at == CREATED_AT
    assert seen(order(transfer("completed"))).occurred_at is None


def test_there_is_neither_version_nor_reference() -> None:
    observation = seen(order())

    assert (observation.version, observation.reference) == (None, None)


def recorded(observation: Observation) -> PaymentRequest:
    """Return a request as it is recorded after its first read."""
    key = Key("partner", Kind.PAYMENT_REQUEST, "41")
    verdict = advance(PaymentRequest("R1", key, CREATED_AT), observation, lease_no=1)
    assert isinstance(verdict, Transition)
    return verdict.after


def test_an_order_goes_its_way_one_step_at_a_time_and_the_same_answer_is_silent() -> None:
    files = ["get_initiated_bare", "assumed_accepted_by_bank", "assumed_completed"]
    answers = [seen(recording("payment_requests_v2", f"{name}.json")) for name in files]
    before, types = recorded(answers[0]), []
    for number, answer in enumerate([answers[0], *answers, answers[-1]], start=2):
        verdict = advance(before, answer, lease_no=number)
        assert isinstance(verdict, Transition | NoChange)
        types += [verdict.type] if isinstance(verdict, Transition) else []
        before = verdict.after

    assert types == ["payment_request.accepted", "payment_request.settled"]


# Keys


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('api_token = "a b"\nclient_account_id = 1', r"api_token: expected a token of visible"),
        ('api_token = "a"\nclient_account_id = 0', r"client_account_id: expected a number from 1"),
        ('api_token = "a"', r"client_account_id: expected a whole number"),
        ("client_account_id = 1", r"api_token: expected one of api_token, api_token_env"),
    ],
)
def test_keys_that_cannot_be_used_stop_the_start(text: str, message: str) -> None:
    table = tomllib.loads(
        '[[account]]\nname = "a"\nprovider = "payment_requests_v2"\n'
        f'api_base = "https://api.partner.example"\n{text}'
    )
    account = parse(table, source="s.toml", environ={}, base=Path("/etc/s")).accounts[0]

    with pytest.raises(Misconfigured, match=message):
        account.keys_as(PaymentRequestsV2Keys)
