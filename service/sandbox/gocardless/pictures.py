"""GoCardless's JSON of payments and flows, derived from ledger entries.

The entries are those to be seen: fewer of them are an older picture. Source: fact sheet gocardless,
sections 2.1 and 2.2, and the samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.sandbox.gocardless.creation import BillingRequest
from service.sandbox.gocardless.happenings import PAYMENT_STARTS, What, given_back, happened
from service.sandbox.gocardless.parts import (
    flow_of,
    mandate_id,
    payment_id,
    payment_part,
    payout_id,
    scheme_of,
    stamp,
)
from service.sandbox.gocardless.words import payment_word
from service.sandbox.ledger import Entry, Json

FLOW_LIFE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who is paid."""

    organisation_id: str
    creditor_id: str
    creditor_name: str


def payment_json(request: BillingRequest, entries: Sequence[Entry], merchant: Merchant) -> Json:
    """Return the payment; only to be asked for once it exists."""
    part = payment_part(request)
    start = next(entry for entry in entries if entry.what in PAYMENT_STARTS)
    links = {"creditor": merchant.creditor_id}
    if happened(entries, What.FELL_BACK):
        links["mandate"] = mandate_id(request)
    if happened(entries, What.PAID_OUT):
        links["payout"] = payout_id(request)
    return {
        "id": payment_id(request),
        "created_at": stamp(start.at),
        "charge_date": charge_date(start.at),
        "amount": part.amount,
        "description": part.description,
        "currency": part.currency,
        "status": payment_word(entries),
        "amount_refunded": given_back(entries),
        "reference": part.reference,
        "metadata": part.metadata,
        "fx": {
            "fx_currency": part.currency,
            "fx_amount": None,
            "exchange_rate": None,
            "estimated_exchange_rate": None,
        },
        "links": links,
        "retry_if_possible": happened(entries, What.FAILED_FOR_NOW, What.AUTORETRIED),
        "scheme": scheme_of(request, entries),
    }


def flow_json(
    request: BillingRequest,
    created: Entry,
    *,
    environment: str,
    redirect_uri: str | None,
    exit_uri: str | None,
) -> Json:
    """Return the hosted page that an entry FLOW_CREATED made."""
    flow_id = flow_of(request, created)
    host = "pay.gocardless.com" if environment == "live" else "pay-sandbox.gocardless.com"
    return {
        "authorisation_url": f"https://{host}/flow/static/billing_request?id={flow_id}",
        "auto_fulfil": True,
        "created_at": stamp(created.at),
        "customer_details_captured": False,
        "exit_uri": exit_uri,
        "expires_at": stamp(created.at + FLOW_LIFE),
        "id": flow_id,
        "language": "en",
        "links": {"billing_request": request.id},
        "lock_bank_account": False,
        "lock_currency": False,
        "lock_customer_details": False,
        "prefilled_bank_account": None,
        "prefilled_customer": None,
        "redirect_uri": redirect_uri,
        "session_token": None,
        "show_redirect_buttons": False,
        "show_success_redirect_button": False,
        "skip_success_screen": False,
    }


def charge_date(created_at: datetime) -> str:
    return (created_at + timedelta(days=1)).date().isoformat()
