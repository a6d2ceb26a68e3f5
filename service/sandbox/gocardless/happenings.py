"""What may happen to a billing request and its payment: facts, and movements of money."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from service.sandbox.ledger import Entry, total


class What(StrEnum):
    """What an entry says."""

    # Facts about the billing request.
    ASKED = "asked"
    FLOW_CREATED = "flow_created"
    FLOW_VISITED = "flow_visited"
    FLOW_EXITED = "flow_exited"
    DETAILS_COLLECTED = "details_collected"
    INSTITUTION_SELECTED = "institution_selected"
    BANK_ACCOUNT_COLLECTED = "bank_account_collected"
    DETAILS_CONFIRMED = "details_confirmed"
    BANK_VISITED = "bank_visited"
    BANK_AUTHORISED = "bank_authorised"
    BANK_DENIED = "bank_denied"
    BANK_FAILED = "bank_failed"
    BANK_EXPIRED = "bank_expired"
    FELL_BACK = "fell_back"  # from open banking to direct debit
    STUMBLED = "stumbled"  # an event `failed` that leaves the request as it is
    FULFILLING = "fulfilling"
    FULFILLED = "fulfilled"
    CANCELLED = "cancelled"
    MANDATE_CREATED = "mandate_created"
    MANDATE_ACTIVE = "mandate_active"
    # Facts about its payment.
    PROPOSED = "proposed"  # exists, and the payer has to approve it
    CREATED = "created"
    APPROVED = "approved"
    DENIED = "denied"
    SUBMITTED = "submitted"
    RETRIED = "retried"  # by the merchant
    AUTORETRIED = "autoretried"
    PAYMENT_CANCELLED = "payment_cancelled"
    PAYOUT_PAID = "payout_paid"
    CHARGEBACK_SETTLED = "chargeback_settled"
    LATE_FAILURE_SETTLED = "late_failure_settled"
    REFUND_PAID = "refund_paid"
    NEW_ACTION = "new_action"  # events that no documentation knows yet
    NEW_RESOURCE = "new_resource"
    # Movements of money. A failure moves what had been collected, if anything.
    CONFIRMED = "confirmed"
    PAID_OUT = "paid_out"
    FAILED = "failed"
    FAILED_FOR_NOW = "failed_for_now"  # and will be tried again without being asked
    CHARGED_BACK = "charged_back"
    CHARGEBACK_CANCELLED = "chargeback_cancelled"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"


FAILURES = frozenset({What.FAILED, What.FAILED_FOR_NOW})
PAYMENT_STARTS = frozenset({What.PROPOSED, What.CREATED})
BANK_VERDICTS = frozenset(
    {What.BANK_AUTHORISED, What.BANK_DENIED, What.BANK_FAILED, What.BANK_EXPIRED}
)


def happened(entries: Iterable[Entry], *whats: What) -> bool:
    return any(entry.what in whats for entry in entries)


def collected(entries: Sequence[Entry]) -> int:
    """Return what of the payment is collected and not taken back; refunds do not count here."""
    came = total(entries, What.CONFIRMED, What.CHARGEBACK_CANCELLED)
    return came - total(entries, *FAILURES, What.CHARGED_BACK)


def given_back(entries: Sequence[Entry]) -> int:
    """Return what the merchant refunded, without refunds that failed."""
    return total(entries, What.REFUNDED) - total(entries, What.REFUND_FAILED)
