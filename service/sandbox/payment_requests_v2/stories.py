"""What approvers, banks and the provider do to payment orders."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from service.sandbox.ledger import PaymentRequest
from service.sandbox.payment_requests_v2.happenings import MOVEMENTS, What, may_follow, news_of
from service.sandbox.payment_requests_v2.orders import PaymentOrder
from service.sandbox.story import Beat, Story

# A story's kind: what its order is to be like. Otherwise it has one transfer, due on the day.
TWO, UNDATED = "two", "undated"


def happens(what: What, transfer: int | None = None, *, pauses: int = 1) -> Beat:
    """Something happens to one transfer, or to all of an order, if it may after what happened."""

    def act(request: PaymentRequest, at: datetime) -> None:
        assert isinstance(request, PaymentOrder)
        for number, (subject, asked) in enumerate(request.transfers.items()):
            if transfer in (None, number) and may_follow(news_of(request.entries, subject), what):
                amount = asked.amount if what in MOVEMENTS else 0
                request.record(what, at=at, subject=subject, amount=amount)

    return Beat(act, pauses)


def goes_on(*steps: What, transfer: int | None = None) -> tuple[Beat, ...]:
    """Several things happen, one after the other."""
    return tuple(happens(step, transfer) for step in steps)


def own_status(what: What) -> Beat:
    """The request's own status begins to say something else than its transfers."""

    def act(request: PaymentRequest, at: datetime) -> None:
        request.record(what, at=at)

    return Beat(act)


QUEUED = goes_on(What.QUEUED)
APPROVED = (*QUEUED, happens(What.APPROVED))
EXECUTING = (*APPROVED, happens(What.EXECUTING))
SENT = (*EXECUTING, happens(What.SENT))
BOOKED = (*SENT, happens(What.BOOKED))
FIRST_BOOKED = (*EXECUTING, *goes_on(What.SENT, What.BOOKED, transfer=0))

STORIES: Mapping[str, Story] = MappingProxyType(
    {
        "created": Story(()),
        "authorising": Story(QUEUED),
        "accepted": Story(APPROVED),
        "processing": Story(EXECUTING),
        "paid": Story(SENT),
        "paid_slowly": Story((*EXECUTING, happens(What.SENT, pauses=5))),
        "settled": Story(BOOKED),
        "no_transfer_date": Story(BOOKED, kind=UNDATED),
        "two_transfers": Story(BOOKED, kind=TWO),
        "some_transfers_done": Story(FIRST_BOOKED, kind=TWO),
        "part_paid": Story((*FIRST_BOOKED, happens(What.FAILED, 1)), kind=TWO),
        "rejected": Story((*EXECUTING, happens(What.REJECTED))),
        "failed": Story((*EXECUTING, happens(What.FAILED))),
        "cancelled": Story((*QUEUED, happens(What.CANCELLED))),
        "returned": Story(BOOKED, (happens(What.RETURNED),)),
        "part_returned": Story(BOOKED, (happens(What.RETURNED, 1),), kind=TWO),
        "request_word_lags": Story((own_status(What.STUCK), *BOOKED), kind=TWO),
        # The mistake of whoever reads the request's status alone. Source: section 7, point 2.
        "transfers_disagree": Story(
            (own_status(What.HASTY), *FIRST_BOOKED, happens(What.REJECTED, 1)), kind=TWO
        ),
        "stale_read": Story(BOOKED, stale_ms=1500),
    }
)
