"""What payers, banks and merchants do to billing requests and their payments."""

from datetime import datetime
from types import MappingProxyType
from typing import Final

from service.sandbox.gocardless.happenings import What
from service.sandbox.gocardless.moves import happen
from service.sandbox.ledger import PaymentRequest
from service.sandbox.story import Beat, Share, Story, part, rest, whole

# What sort of billing request a story is about; without one it asks for an instant payment.
WITH_MANDATE = "payment_and_mandate"
MANDATE_ONLY = "mandate_only"
DIRECT_DEBIT = "direct_debit"  # asks for an instant payment that may fall back to direct debit


def beat(*whats: What, share: Share = whole, note: str = "", pauses: int = 1) -> Beat:
    """All of this happens at one moment, so that its events leave in one call."""

    def act(request: PaymentRequest, at: datetime) -> None:
        for what in whats:
            happen(request, what, at=at, share=share, note=note)

    return Beat(act, pauses)


FLOW = beat(What.FLOW_CREATED)
FORM = beat(
    What.FLOW_VISITED,
    What.DETAILS_COLLECTED,
    What.INSTITUTION_SELECTED,
    What.BANK_ACCOUNT_COLLECTED,
    What.DETAILS_CONFIRMED,
)
AT_BANK = beat(What.BANK_VISITED)
AUTHORISED = beat(What.BANK_AUTHORISED)
FULFILLED = beat(What.FULFILLED, What.CREATED)
SUBMITTED = beat(What.SUBMITTED)
CONFIRMED = beat(What.CONFIRMED)
PAID_OUT = beat(What.PAID_OUT, What.PAYOUT_PAID)
FAILED = beat(What.FAILED)

ASKED = (FLOW, FORM, AT_BANK)
AGREED = (*ASKED, AUTHORISED)
ACCEPTED = (*AGREED, FULFILLED)
SENT = (*ACCEPTED, SUBMITTED)
PAID = (*SENT, CONFIRMED)
SETTLED = (*PAID, PAID_OUT)

FELL_BACK = (*ASKED, beat(What.BANK_FAILED), beat(What.FELL_BACK))
DEBIT_ACCEPTED = (*FELL_BACK, beat(What.FULFILLED, What.MANDATE_CREATED, What.CREATED))
DEBIT_SENT = (*DEBIT_ACCEPTED, beat(What.MANDATE_ACTIVE, What.SUBMITTED))
DEBIT_PAID = (*DEBIT_SENT, CONFIRMED)
DEBIT_SETTLED = (*DEBIT_PAID, PAID_OUT)
DEBIT_FAILED = (*DEBIT_SENT, FAILED)
PROPOSED = (*FELL_BACK, beat(What.FULFILLED, What.MANDATE_CREATED, What.PROPOSED))
DENIED = (*PROPOSED, beat(What.DENIED))
TRIED_AGAIN = (*DEBIT_SENT, beat(What.FAILED_FOR_NOW), beat(What.AUTORETRIED), SUBMITTED)

LATE_FAILURE = (beat(What.FAILED, note="refer_to_payer"), beat(What.LATE_FAILURE_SETTLED))
CHARGED_BACK = (beat(What.CHARGED_BACK), beat(What.CHARGEBACK_SETTLED))


def refund(share: Share = whole, end: What = What.REFUND_PAID) -> tuple[Beat, ...]:
    """The merchant refunds; one beat later the refund arrives or fails."""
    return (beat(What.REFUNDED, share=share), beat(end))


STORIES: Final = MappingProxyType(
    {
        "created": Story(()),
        "open": Story(ASKED),
        "bank_authorisation_expired": Story((*ASKED, beat(What.BANK_EXPIRED, What.FLOW_EXITED))),
        "failed_event_only": Story((*ASKED, beat(What.STUMBLED))),
        "authorising": Story(AGREED),
        "fulfilling": Story((*AGREED, beat(What.FULFILLING))),
        "payment_awaited": Story((*AGREED, beat(What.FULFILLED))),
        "payment_appears_late": Story(
            (*AGREED, beat(What.FULFILLED), beat(What.CREATED, pauses=3), SUBMITTED, CONFIRMED)
        ),
        "accepted": Story(ACCEPTED),
        "customer_approval_awaited": Story(PROPOSED, kind=DIRECT_DEBIT),
        "customer_approval_granted": Story(
            (*PROPOSED, beat(What.APPROVED), SUBMITTED, CONFIRMED), kind=DIRECT_DEBIT
        ),
        "customer_approval_denied": Story(DENIED, kind=DIRECT_DEBIT),
        "rejected": Story(DENIED, kind=DIRECT_DEBIT),
        "processing": Story(SENT),
        "paid": Story(PAID),
        "paid_at_once": Story(
            (*AGREED, beat(What.FULFILLED, What.CREATED, What.SUBMITTED, What.CONFIRMED))
        ),
        "paid_slowly": Story(
            (
                *AGREED,
                beat(What.FULFILLING),
                FULFILLED,
                SUBMITTED,
                beat(What.CONFIRMED, pauses=5),
            )
        ),
        "paid_out": Story(SETTLED),
        "payment_and_mandate": Story(
            (
                *AGREED,
                beat(What.FULFILLED, What.MANDATE_CREATED, What.CREATED),
                SUBMITTED,
                CONFIRMED,
            ),
            kind=WITH_MANDATE,
        ),
        "mandate_only": Story(
            (*AGREED, beat(What.FULFILLED, What.MANDATE_CREATED), beat(What.MANDATE_ACTIVE)),
            kind=MANDATE_ONLY,
        ),
        "payer_declines_then_pays": Story(
            (*ASKED, beat(What.BANK_DENIED), AT_BANK, AUTHORISED, FULFILLED, SUBMITTED, CONFIRMED)
        ),
        "unknown_events": Story(
            (
                *ACCEPTED,
                beat(What.NEW_ACTION, What.NEW_RESOURCE, What.SUBMITTED),
                beat(What.NEW_RESOURCE),
                CONFIRMED,
                beat(What.NEW_ACTION),
            )
        ),
        "cancelled": Story((FLOW, FORM, beat(What.CANCELLED))),
        "payment_cancelled": Story((*ACCEPTED, beat(What.PAYMENT_CANCELLED))),
        "failed": Story((*SENT, FAILED)),
        "fallback": Story(
            (*DEBIT_SENT, beat(What.CONFIRMED, pauses=5)), (PAID_OUT,), kind=DIRECT_DEBIT
        ),
        "fallback_late_failure": Story(
            (*DEBIT_SENT, beat(What.CONFIRMED, pauses=5)), (FAILED,), kind=DIRECT_DEBIT
        ),
        "failed_awaiting_retry": Story((*DEBIT_SENT, beat(What.FAILED_FOR_NOW)), kind=DIRECT_DEBIT),
        "failed_then_retried": Story((*TRIED_AGAIN, CONFIRMED), kind=DIRECT_DEBIT),
        "failed_for_good": Story((*TRIED_AGAIN, FAILED), kind=DIRECT_DEBIT),
        "late_money": Story(
            DEBIT_FAILED, (beat(What.RETRIED), SUBMITTED, CONFIRMED), kind=DIRECT_DEBIT
        ),
        "late_failure": Story(DEBIT_SETTLED, LATE_FAILURE, kind=DIRECT_DEBIT),
        "late_failure_before_payout": Story(PAID, LATE_FAILURE[:1]),
        "late_failure_then_retried": Story(
            DEBIT_PAID, (FAILED, beat(What.RETRIED), SUBMITTED, CONFIRMED), kind=DIRECT_DEBIT
        ),
        "chargeback": Story(DEBIT_SETTLED, CHARGED_BACK, kind=DIRECT_DEBIT),
        "chargeback_cancelled": Story(
            DEBIT_SETTLED,
            (beat(What.CHARGED_BACK), beat(What.CHARGEBACK_CANCELLED)),
            kind=DIRECT_DEBIT,
        ),
        "chargeback_cancelled_before_payout": Story(
            DEBIT_PAID,
            (beat(What.CHARGED_BACK), beat(What.CHARGEBACK_CANCELLED)),
            kind=DIRECT_DEBIT,
        ),
        "refund": Story(SETTLED, refund()),
        "part_refund": Story(PAID, refund(part)),
        "two_refunds": Story(SETTLED, (*refund(part), *refund(rest))),
        "failed_refund": Story(SETTLED, refund(end=What.REFUND_FAILED)),
        "refund_then_chargeback": Story(
            DEBIT_SETTLED, (*refund(part), *CHARGED_BACK), kind=DIRECT_DEBIT
        ),
        "stale_read": Story(PAID, stale_ms=1500),
    }
)
