"""GoCardless's JSON of a billing request, derived from ledger entries.

The entries are those to be seen: fewer of them are an older picture. Source: fact sheet gocardless,
section 2.1, and the samples.
"""

from collections.abc import Sequence

from service.sandbox.gocardless.creation import DIRECT_DEBIT, BillingRequest
from service.sandbox.gocardless.happenings import What, happened
from service.sandbox.gocardless.ids import part_id
from service.sandbox.gocardless.parts import (
    bank_account_id,
    customer_id,
    has_mandate,
    mandate_id,
    payment_id,
    stamp,
)
from service.sandbox.gocardless.pictures import Merchant
from service.sandbox.gocardless.words import ACTIONS, billing_word, open_actions
from service.sandbox.ledger import Entry, Json

TERMINAL = ("fulfilled", "cancelled")
BEFORE = {
    "collect_customer_details": ["choose_currency", "collect_amount"],
    "collect_bank_account": ["collect_amount"],
    "confirm_payer_details": ["collect_customer_details", "collect_bank_account"],
    "bank_authorisation": ["select_institution"],
}
COUNTRIES = {
    "AUD": "AU",
    "CAD": "CA",
    "DKK": "DK",
    "EUR": "DE",
    "GBP": "GB",
    "NZD": "NZ",
    "SEK": "SE",
    "USD": "US",
}


def billing_request_json(
    request: BillingRequest, entries: Sequence[Entry], merchant: Merchant
) -> Json:
    asked = request.asked
    word = billing_word(entries)
    shown: Json = {
        "id": request.id,
        "created_at": stamp(request.created_at),
        "status": word,
        "mandate_request": _mandate_part(request, entries),
        "payment_request": _payment_part(request, entries),
        "metadata": asked.metadata,
        "links": _links(request, entries, merchant),
        "fallback_enabled": asked.fallback_enabled,
        "fallback_occurred": happened(entries, What.FELL_BACK),
        "sign_flow_url": None,
        "creditor_name": merchant.creditor_name,
        "actions": [] if word in TERMINAL else _actions(request, entries),
        "resources": _resources(request, entries),
        "experimentation": {
            "is_eligible_for_share_of_wallet_experiments": False,
            "is_eligible_for_optional_vm_experiments": False,
            "is_eligible_for_institution_experiments": False,
            "is_eligible_for_single_tab_experiments": False,
        },
    }
    return shown | ({"purpose_code": asked.purpose_code} if asked.purpose_code else {})


def _mandate_part(request: BillingRequest, entries: Sequence[Entry]) -> Json | None:
    if not has_mandate(request.asked, entries):
        return None
    part = request.asked.mandate_request
    currency = request.currency if part is None else part.currency
    return {
        "currency": currency,
        "constraints": part and part.constraints,
        "scheme": part.scheme if part else DIRECT_DEBIT[request.currency],
        "sweeping": bool(part and part.sweeping),
        "verify": part.verify if part else "recommended",
        "links": {"mandate": mandate_id(request)} if happened(entries, What.FULFILLED) else {},
        "metadata": part.metadata if part else {},
        "description": part and part.description,
        "payer_requested_dual_signature": False,
    }


def _payment_part(request: BillingRequest, entries: Sequence[Entry]) -> Json | None:
    part = request.asked.payment_request
    if part is None:
        return None
    return {
        "description": part.description,
        "currency": part.currency,
        "amount": part.amount,
        "min_amount": None,
        "max_amount": None,
        "default_min_amount": None,
        "default_max_amount": None,
        "app_fee": part.app_fee,
        "scheme": part.paid_by,
        "links": {"payment": payment_id(request)} if happened(entries, What.FULFILLED) else {},
        "metadata": part.metadata,
        "flexible_amount": False,
        "reference": part.reference,
        "funds_settlement": part.funds_settlement,
    }


def _links(request: BillingRequest, entries: Sequence[Entry], merchant: Merchant) -> Json:
    """Return the links; the bank account is one of open banking's, as in the samples."""
    is_fulfilled = happened(entries, What.FULFILLED)
    takes_mandate = has_mandate(request.asked, entries)
    links: Json = {
        "customer": customer_id(request),
        "customer_billing_detail": part_id("CBD", request.id),
        "creditor": merchant.creditor_id,
        "organisation": merchant.organisation_id,
    }
    if happened(entries, What.BANK_ACCOUNT_COLLECTED) and not takes_mandate:
        links["customer_bank_account"] = bank_account_id(request)
    if request.asked.payment_request is not None:
        links["payment_request"] = part_id("PRQ", request.id)
        if is_fulfilled:
            links["payment_request_payment"] = payment_id(request)
    if takes_mandate:
        links["mandate_request"] = part_id("MRQ", request.id)
        if is_fulfilled:
            links["mandate_request_mandate"] = mandate_id(request)
    return links


def _actions(request: BillingRequest, entries: Sequence[Entry]) -> list[Json]:
    still_open = open_actions(entries)
    return [_action(request, name, is_open=name in still_open) for name in ACTIONS]


def _action(request: BillingRequest, name: str, *, is_open: bool) -> Json:
    country = COUNTRIES[request.currency]
    shown: Json = {
        "type": name,
        "required": True,
        "completes_actions": ["choose_currency"] if name == "collect_bank_account" else [],
        "requires_actions": BEFORE.get(name, []),
        "status": "pending" if is_open else "completed",
    }
    match name:
        case "choose_currency":
            shown["available_currencies"] = [request.currency]
        case "collect_customer_details" if is_open:
            shown[name] = {
                "incomplete_fields": {
                    "customer": ["given_name", "family_name"],
                    "customer_billing_detail": ["address_line1", "city", "postal_code"],
                },
                "default_country_code": country,
            }
        case "select_institution":
            shown["institution_guess_status"] = "pending" if is_open else "not_needed"
        case "collect_bank_account":
            shown["available_country_codes"] = [country]
        case "bank_authorisation":
            kind = "mandate" if request.asked.payment_request is None else "payment"
            adapter = {"authorisation_type": kind, "adapter": "open_banking_gateway_pis"}
            shown["bank_authorisation"] = adapter
        case _:
            pass
    return shown


def _resources(request: BillingRequest, entries: Sequence[Entry]) -> Json:
    """Return what is known of the payer: nothing until the details are collected."""
    is_known = happened(entries, What.DETAILS_COLLECTED)

    def known(value: str) -> str | None:
        return value if is_known else None

    created_at = stamp(request.created_at)
    return {
        "customer": {
            "id": customer_id(request),
            "created_at": created_at,
            "email": known("payer@example.test"),
            "given_name": known("Ada"),
            "family_name": known("Payer"),
            "company_name": None,
            "language": "en",
            "phone_number": None,
            "metadata": {},
        },
        "customer_billing_detail": {
            "id": part_id("CBD", request.id),
            "created_at": created_at,
            "address_line1": known("1 Example Street"),
            "address_line2": None,
            "address_line3": None,
            "city": known("London"),
            "region": None,
            "postal_code": known("EC1A 1BB"),
            "country_code": known("GB"),
            "swedish_identity_number": None,
            "danish_identity_number": None,
        },
    }
