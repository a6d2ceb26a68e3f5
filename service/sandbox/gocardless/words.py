"""GoCardless's status words, derived from the ledger. Source: fact sheet, sections 3 and 4."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from service.sandbox.gocardless.happenings import BANK_VERDICTS, What, happened
from service.sandbox.ledger import Entry

# The actions that somebody has to take, in the order of the samples, and what completes them.
ACTIONS: Mapping[str, What | None] = {
    "choose_currency": None,
    "collect_amount": None,
    "collect_customer_details": What.DETAILS_COLLECTED,
    "select_institution": What.INSTITUTION_SELECTED,
    "collect_bank_account": What.BANK_ACCOUNT_COLLECTED,
    "confirm_payer_details": What.DETAILS_CONFIRMED,
    "bank_authorisation": What.BANK_AUTHORISED,
}

PAYMENT_WORDS: Mapping[StrEnum, str] = {
    What.PROPOSED: "pending_customer_approval",
    What.CREATED: "pending_submission",
    What.APPROVED: "pending_submission",
    What.RETRIED: "pending_submission",
    What.AUTORETRIED: "pending_submission",
    What.DENIED: "customer_approval_denied",
    What.SUBMITTED: "submitted",
    What.CONFIRMED: "confirmed",
    What.PAID_OUT: "paid_out",
    What.FAILED: "failed",
    What.FAILED_FOR_NOW: "failed",
    What.PAYMENT_CANCELLED: "cancelled",
    What.CHARGED_BACK: "charged_back",
}


def billing_word(entries: Sequence[Entry]) -> str:
    """Return the billing request's status."""
    if happened(entries, What.CANCELLED):
        return "cancelled"
    if happened(entries, What.FULFILLED):
        return "fulfilled"
    if happened(entries, What.FULFILLING):
        return "fulfilling"
    return "pending" if open_actions(entries) else "ready_to_fulfil"


def payment_word(entries: Sequence[Entry]) -> str | None:
    """Return the payment's status; None while there is no payment.

    After a cancelled charge-back the payment is what it was before. Source: section 4 (assumed).
    """
    for entry in reversed(entries):
        if entry.what in PAYMENT_WORDS:
            return PAYMENT_WORDS[entry.what]
        if entry.what is What.CHARGEBACK_CANCELLED:
            return "paid_out" if happened(entries, What.PAID_OUT) else "confirmed"
    return None


def open_actions(entries: Sequence[Entry]) -> set[str]:
    """Return the actions still to be taken; what the bank said last counts."""
    done = {entry.what for entry in entries} - BANK_VERDICTS
    verdict = next((entry.what for entry in reversed(entries) if entry.what in BANK_VERDICTS), None)
    if verdict is What.BANK_AUTHORISED or What.FELL_BACK in done:
        done.add(What.BANK_AUTHORISED)
    return {name for name, what in ACTIONS.items() if what is not None and what not in done}
