"""Every status against every status, for every kind of evidence and of news about money.

The tables are written by hand from STATUSES.md, section 3; nothing in them comes from the code.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

from service.domain.lifecycle import Contradiction, NoChange, Stale, Transition, Verdict, advance
from service.domain.request import Facts, PaymentRequest
from service.domain.status import Status
from tests.builders import AMOUNT, facts, request, seen

EVERY = set(Status)

# Where a newer read may take a request while no money moves. A status that is not final blocks
# nothing below part_paid; failed may be retried; held is entered from anywhere and restores
# whatever is read; with money it only goes on. Rules 4 and 5.
FROM_NOT_FINAL: dict[Status, set[Status]] = {
    Status.CREATED: EVERY,
    Status.OPEN: EVERY,
    Status.AUTHORISING: EVERY,
    Status.ACCEPTED: EVERY,
    Status.PROCESSING: EVERY,
    Status.PART_PAID: {Status.PART_PAID, Status.PAID, Status.SETTLED, Status.HELD},
    Status.PAID: {Status.PAID, Status.SETTLED, Status.HELD},
    Status.SETTLED: {Status.SETTLED, Status.HELD},
    Status.REJECTED: {Status.REJECTED, Status.HELD},
    Status.FAILED: EVERY,
    Status.CANCELLED: {Status.CANCELLED, Status.HELD},
    Status.EXPIRED: {Status.EXPIRED, Status.HELD},
    Status.REVERSED: {Status.REVERSED, Status.HELD},
    Status.HELD: EVERY,
}
FROM_FINAL: dict[Status, set[Status]] = {
    Status.CREATED: {Status.CREATED, Status.HELD},
    Status.OPEN: {Status.OPEN, Status.HELD},
    Status.AUTHORISING: {Status.AUTHORISING, Status.HELD},
    Status.ACCEPTED: {Status.ACCEPTED, Status.HELD},
    Status.PROCESSING: {Status.PROCESSING, Status.HELD},
    Status.PART_PAID: {Status.PART_PAID, Status.HELD},
    Status.PAID: {Status.PAID, Status.HELD},
    Status.SETTLED: {Status.SETTLED, Status.HELD},
    Status.REJECTED: {Status.REJECTED, Status.HELD},
    Status.FAILED: {Status.FAILED, Status.HELD},
    Status.CANCELLED: {Status.CANCELLED, Status.HELD},
    Status.EXPIRED: {Status.EXPIRED, Status.HELD},
    Status.REVERSED: {Status.REVERSED, Status.HELD},
    Status.HELD: EVERY,
}
# The ends that say that no money comes: what comes all the same is late. Rule 6.
NO_MONEY_COMES = {Status.REJECTED, Status.FAILED, Status.CANCELLED, Status.EXPIRED}


@dataclass(frozen=True)
class Evidence:
    """How a read stands to the recorded one, which was made under lease 5. Rule 2."""

    recorded_version: int | None
    version: int | None
    lease_no: int
    is_stale: bool


EVIDENCE = {
    "an older version": Evidence(7, 6, 9, True),
    "the same version under an older lease": Evidence(7, 7, 4, True),
    "the same version under the same lease": Evidence(7, 7, 5, False),
    "the same version under a newer lease": Evidence(7, 7, 6, False),
    "a newer version under an older lease": Evidence(7, 8, 4, False),
    "a newer version under a newer lease": Evidence(7, 8, 6, False),
    "no version under an older lease": Evidence(7, None, 4, True),
    "no version under a newer lease": Evidence(7, None, 6, False),
    "a first version under an older lease": Evidence(None, 8, 4, True),
    "a first version under a newer lease": Evidence(None, 8, 6, False),
    "never a version, an older lease": Evidence(None, None, 4, True),
    "never a version, the same lease": Evidence(None, None, 5, False),
    "never a version, a newer lease": Evidence(None, None, 6, False),
}
NEWER = EVIDENCE["a newer version under a newer lease"]


@dataclass(frozen=True)
class News:
    """What a read says of money, against 40.00 received of which 10.00 went back.

    5.00 of that was taken, and 20.00 are booked. Rules 5 to 8 and 13.
    """

    changes: dict[str, int]
    is_correction: bool = False
    is_late_where_none_should_come: bool = False
    reverses: bool = False
    is_twice: bool = False
    is_refused: bool = False


NO_NEWS = News({})
NEWS = {
    "nothing": NO_NEWS,
    "more came": News({"received": 4500}, is_late_where_none_should_come=True),
    "less came than we knew": News({"received": 3999}, is_refused=True),
    "none ever came": News(
        {"received": 0, "refunded": 0, "taken_back": 0, "booked": 0}, is_refused=True
    ),
    "more was given back": News({"refunded": 1500}),
    "a refund came back": News({"refunded": 700}, is_correction=True),
    "more was taken back": News({"refunded": 1500, "taken_back": 1000}, is_correction=True),
    "a charge-back was cancelled": News({"refunded": 500, "taken_back": 0}, is_correction=True),
    "what was given was taken": News({"taken_back": 1000}, is_correction=True),
    "more was booked": News({"booked": 4000}),
    "a booking was undone": News({"booked": 0}, is_correction=True),
    "all was given back": News({"refunded": 4000}, reverses=True),
    "all was taken back": News(
        {"refunded": 4000, "taken_back": 3500}, is_correction=True, reverses=True
    ),
    "more went than came": News(
        {"refunded": 5000, "taken_back": 4000}, is_correction=True, reverses=True, is_twice=True
    ),
    "more came and all went": News(
        {"received": 4500, "refunded": 4500}, is_late_where_none_should_come=True, reverses=True
    ),
}


@dataclass(frozen=True)
class Case:
    before: Status
    was_final: bool
    after: Status
    is_final: bool
    evidence: Evidence = NEWER
    news: News = NO_NEWS
    retried: bool = False
    asked: int = AMOUNT

    @property
    def recorded(self) -> PaymentRequest:
        return recorded_at(self.before, self.was_final, self.evidence.recorded_version)

    @property
    def shown(self) -> Facts:
        plain = with_money(self.after, final=self.is_final)
        return replace(plain, amount=self.asked, **self.news.changes)  # type: ignore[arg-type]

    def judge(self) -> Verdict:
        observation = seen(self.shown, version=self.evidence.version, retried=self.retried)
        return advance(self.recorded, observation, lease_no=self.evidence.lease_no)


@cache
def with_money(status: Status, *, final: bool) -> Facts:
    return facts(status, final=final, received=4000, refunded=1000, taken_back=500, booked=2000)


@cache
def recorded_at(status: Status, final: bool, version: int | None) -> PaymentRequest:
    return request(with_money(status, final=final), version=version, lease_no=5)


def pairs() -> Iterator[tuple[Status, bool, Status, bool]]:
    return product(Status, (False, True), Status, (False, True))


def may_move(case: Case) -> bool:
    """Whether a read that is in time, and that changes something, may be followed."""
    if case.news.is_refused:
        return False
    if case.news.changes:
        return True
    if case.after in (FROM_FINAL if case.was_final else FROM_NOT_FINAL)[case.before]:
        return True
    if case.retried and case.before is Status.FAILED:
        return True
    in_full = (Status.PAID, Status.SETTLED)
    if case.before in in_full and case.after is Status.PART_PAID:
        return case.asked > AMOUNT
    return case.before is Status.PART_PAID and case.after in in_full and case.asked < AMOUNT


def check_step(case: Case, verdict: Transition) -> None:
    after = verdict.after
    stands = Status.REVERSED if case.news.reverses else case.after
    name = "amount_changed" if stands is case.before else stands.value
    is_late = (
        case.news.is_late_where_none_should_come
        and case.was_final
        and case.before in NO_MONEY_COMES
    )
    attention = {"late_money"} if is_late else set()
    if case.news.is_twice:
        attention.add("taken_back_twice")
    expected = replace(
        case.shown, status=stands, final=True if case.news.reverses else case.is_final
    )
    assert verdict.type == f"payment_request.{name}", case
    assert verdict.correction is (case.news.is_correction or is_late), case
    assert after.attention == attention, case
    assert after.facts == expected, case
    assert after.sequence == verdict.before.sequence + 1 == 2, case
    assert after.lease_no == max(5, case.evidence.lease_no), case
    assert after.version == (case.evidence.version or case.evidence.recorded_version), case


def check(case: Case) -> str:
    """Compare the verdict with the tables; return its name."""
    verdict = case.judge()
    stands = Status.REVERSED if case.news.reverses else case.after
    if case.evidence.is_stale:
        assert verdict == Stale(), case
    elif stands is case.before and not case.news.changes:
        assert isinstance(verdict, NoChange), case
        assert verdict.after.sequence == 1, case
        assert verdict.after.attention == frozenset(), case
    elif not may_move(case):
        assert verdict == Contradiction("regression_refused"), case
    else:
        assert isinstance(verdict, Transition), case
        check_step(case, verdict)
    return type(verdict).__name__


def test_every_status_against_every_status_for_every_evidence_and_every_news_of_money() -> None:
    verdicts = {
        check(Case(*pair, evidence=evidence, news=news))
        for pair in pairs()
        for evidence in EVIDENCE.values()
        for news in NEWS.values()
    }

    assert verdicts == {"Stale", "NoChange", "Contradiction", "Transition"}


def test_every_status_against_every_status_when_retried_or_asked_otherwise() -> None:
    """What a provider tries again leaves a failure; what the payee asks for moves part and all."""
    for pair in pairs():
        for retried, asked in product((False, True), (AMOUNT - 500, AMOUNT, AMOUNT + 500)):
            check(Case(*pair, retried=retried, asked=asked))


def test_the_first_read_is_always_told_whatever_it_says_and_corrects_nothing() -> None:
    for status, final, news, lease_no in product(Status, (False, True), NEWS.values(), (1, 9)):
        case = Case(Status.OPEN, False, status, final, news=news)
        for version in (None, 8):
            verdict = advance(request(None), seen(case.shown, version=version), lease_no=lease_no)

            stands = Status.REVERSED if news.reverses else status
            assert isinstance(verdict, Transition), case
            assert verdict.type == f"payment_request.{stands}", case
            assert verdict.correction is False, case
            assert verdict.after.sequence == 1, case
            assert verdict.after.attention == ({"taken_back_twice"} if news.is_twice else set())
            assert (verdict.after.version, verdict.after.lease_no) == (version, lease_no)


def test_what_money_did_is_judged_alike_when_none_had_come_before() -> None:
    """The first money of a request, from every status to every status."""
    for before, was_final, after, is_final in pairs():
        recorded = facts(before, final=was_final, received=0, refunded=0, booked=0)
        shown = facts(after, final=is_final, received=AMOUNT, refunded=0, booked=0)

        verdict = advance(request(recorded), seen(shown), lease_no=2)

        is_late = was_final and before in NO_MONEY_COMES
        assert isinstance(verdict, Transition)
        assert verdict.correction is is_late
        assert verdict.after.attention == ({"late_money"} if is_late else set())
        name = "amount_changed" if after is before else after.value
        assert verdict.type == f"payment_request.{name}"


def test_another_currency_is_refused_whatever_else_is_shown() -> None:
    for pair in pairs():
        for news in NEWS.values():
            case = Case(*pair, news=news)
            shown = replace(case.shown, currency="USD")

            verdict = advance(case.recorded, seen(shown, version=8), lease_no=6)

            assert verdict == Contradiction("currency_changed"), case


def test_amounts_left_open_are_no_reason_to_take_a_part_for_all() -> None:
    part, whole = (with_money(status, final=True) for status in (Status.PART_PAID, Status.PAID))

    def step(before: Facts, after: Facts) -> Verdict:
        return advance(request(before), seen(after), lease_no=2)

    opened = replace(whole, amount=None)
    refused = Contradiction("regression_refused")
    assert step(part, opened) == refused
    assert step(opened, replace(part, amount=None)) == refused
    assert isinstance(step(replace(part, amount=None), whole), Transition)
    assert isinstance(step(opened, part), Transition)
