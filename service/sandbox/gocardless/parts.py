"""The parts of a billing request: their identifiers, and how the payment is collected."""

from collections.abc import Sequence
from datetime import datetime

from service.sandbox.gocardless.creation import DIRECT_DEBIT, Asked, BillingRequest, PaymentPart
from service.sandbox.gocardless.happenings import What, happened
from service.sandbox.gocardless.ids import part_id
from service.sandbox.ledger import Entry


def stamp(moment: datetime) -> str:
    """Return ISO 8601 in UTC with milliseconds and Z. Source: fact sheet, section 1."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def payment_part(request: BillingRequest) -> PaymentPart:
    assert request.asked.payment_request is not None, "a mandate has no payment"
    return request.asked.payment_request


def has_mandate(asked: Asked, entries: Sequence[Entry]) -> bool:
    return asked.mandate_request is not None or happened(entries, What.FELL_BACK)


def scheme_of(request: BillingRequest, entries: Sequence[Entry]) -> str:
    """Return how the payment is collected: by direct debit after the fallback."""
    part = payment_part(request)
    return DIRECT_DEBIT[part.currency] if happened(entries, What.FELL_BACK) else part.paid_by


def payment_id(request: BillingRequest) -> str:
    return part_id("PM", request.id)


def mandate_id(request: BillingRequest) -> str:
    return part_id("MD", request.id)


def payout_id(request: BillingRequest) -> str:
    return part_id("PO", request.id)


def customer_id(request: BillingRequest) -> str:
    return request.asked.links.customer or part_id("CU", request.id)


def bank_account_id(request: BillingRequest) -> str:
    return request.asked.links.customer_bank_account or part_id("BA", request.id)


def flow_of(request: BillingRequest, entry: Entry) -> str:
    """Return the id of the newest flow at the time of an entry."""
    return part_id("BRF", request.id, _nth(request, entry, What.FLOW_CREATED))


def authorisation_of(request: BillingRequest, entry: Entry) -> str:
    """Return the id of the newest bank authorisation at the time of an entry."""
    return part_id("BAU", request.id, _nth(request, entry, What.BANK_VISITED))


def refund_of(request: BillingRequest, entry: Entry) -> str:
    """Return the id of the newest refund at the time of an entry."""
    return part_id("RF", request.id, _nth(request, entry, What.REFUNDED))


def _nth(request: BillingRequest, entry: Entry, what: What) -> int:
    return sum(other.what is what and other.at <= entry.at for other in request.entries)
