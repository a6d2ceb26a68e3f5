"""GoCardless's events: what an entry of the ledger is told as. Source: fact sheet, section 5.

An event carries no amount and no status; an event of a payment does not name the billing request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random

from service.sandbox.gocardless.creation import BillingRequest
from service.sandbox.gocardless.happenings import BANK_VERDICTS, FAILURES, What
from service.sandbox.gocardless.ids import part_id
from service.sandbox.gocardless.parts import (
    authorisation_of,
    bank_account_id,
    customer_id,
    flow_of,
    has_mandate,
    mandate_id,
    payment_id,
    payout_id,
    refund_of,
    scheme_of,
    stamp,
)
from service.sandbox.ledger import Entry, Json


@dataclass(frozen=True, slots=True)
class Telling:
    """How an entry is told: resource type and action, who did it, and why."""

    resource_type: str
    action: str
    origin: str
    cause: str


def _billing(action: str, origin: str, cause: str = "") -> Telling:
    return Telling("billing_requests", action, origin, cause or f"billing_request_{action}")


def _payment(action: str, origin: str = "gocardless", cause: str = "") -> Telling:
    return Telling("payments", action, origin, cause or f"payment_{action}")


# What is missing here is told to nobody.
TELLINGS: Mapping[StrEnum, Telling] = {
    What.ASKED: _billing("created", "api"),
    What.FLOW_CREATED: _billing("flow_created", "api"),
    What.FLOW_VISITED: _billing("flow_visited", "payer"),
    What.FLOW_EXITED: _billing("flow_exited", "payer"),
    What.DETAILS_COLLECTED: _billing("collect_customer_details", "payer"),
    What.INSTITUTION_SELECTED: _billing("select_institution", "payer"),
    What.BANK_ACCOUNT_COLLECTED: _billing("collect_bank_account", "payer"),
    What.DETAILS_CONFIRMED: _billing("payer_details_confirmed", "payer"),
    What.BANK_VISITED: _billing("bank_authorisation_visited", "payer"),
    What.BANK_AUTHORISED: _billing("bank_authorisation_authorised", "payer"),
    What.BANK_DENIED: _billing("bank_authorisation_denied", "payer"),
    What.BANK_FAILED: _billing("bank_authorisation_failed", "gocardless", "insufficient_funds"),
    What.BANK_EXPIRED: _billing("bank_authorisation_expired", "payer"),
    What.STUMBLED: _billing("failed", "gocardless"),
    What.FULFILLED: _billing("fulfilled", "gocardless"),
    What.CANCELLED: _billing("cancelled", "api"),
    What.MANDATE_CREATED: Telling("mandates", "created", "gocardless", "mandate_created"),
    What.MANDATE_ACTIVE: Telling("mandates", "active", "gocardless", "mandate_activated"),
    What.PROPOSED: _payment("created"),
    What.CREATED: _payment("created"),
    What.APPROVED: _payment("customer_approval_granted", "customer", "customer_approval_granted"),
    What.DENIED: _payment("customer_approval_denied", "customer", "customer_approval_denied"),
    What.SUBMITTED: _payment("submitted"),
    What.CONFIRMED: _payment("confirmed"),
    What.PAID_OUT: _payment("paid_out"),
    What.FAILED: _payment("failed", "bank", "insufficient_funds"),
    What.FAILED_FOR_NOW: _payment("failed", "bank", "insufficient_funds"),
    What.RETRIED: _payment("resubmission_requested", "api", "payment_retried"),
    What.AUTORETRIED: _payment("resubmission_requested", "gocardless", "payment_autoretried"),
    What.PAYMENT_CANCELLED: _payment("cancelled", "api"),
    What.CHARGED_BACK: _payment("charged_back", "bank", "authorisation_disputed"),
    # The cause is GoCardless's own; it says nothing. Source: fact sheet, section 13.4.
    What.CHARGEBACK_CANCELLED: _payment("chargeback_cancelled", "bank", "payment_confirmed"),
    What.CHARGEBACK_SETTLED: _payment("chargeback_settled", cause="chargeback_settled"),
    What.LATE_FAILURE_SETTLED: _payment("late_failure_settled", cause="late_failure_settled"),
    What.PAYOUT_PAID: Telling("payouts", "paid", "gocardless", "payout_paid"),
    What.REFUNDED: Telling("refunds", "created", "api", "refund_created"),
    What.REFUND_PAID: Telling("refunds", "paid", "gocardless", "refund_paid"),
    What.REFUND_FAILED: Telling("refunds", "failed", "bank", "refund_failed"),
    What.NEW_ACTION: _payment("liquidity_checked"),
    What.NEW_RESOURCE: Telling("loyalty_cards", "stamped", "gocardless", "loyalty_card_stamped"),
}

# Events about the request alone, as in the samples.
WITHOUT_CUSTOMER = frozenset({What.BANK_DENIED, What.STUMBLED, What.CANCELLED})
AT_FLOW = frozenset({What.FLOW_CREATED, What.FLOW_VISITED, What.FLOW_EXITED})
AT_BANK = BANK_VERDICTS | {What.BANK_VISITED}


@dataclass(frozen=True, slots=True)
class Event:
    """One event. by_api holds the metadata of the call that caused it, if one did.

    It appears in lists some time after it was made. Source: fact sheet, section 2.3.
    """

    id: str
    at: datetime
    visible_at: datetime
    request: BillingRequest
    entry: Entry
    telling: Telling
    links: Mapping[str, str]
    by_api: Mapping[str, str] | None = None


def event_of(
    request: BillingRequest,
    number: int,
    *,
    at: datetime,
    lag_ms: int,
    by_api: Mapping[str, str] | None = None,
) -> Event | None:
    """Return the event of a request's entry, if it is told at all.

    It is listed up to lag_ms later, each event after a time of its own: they can overtake.
    """
    entry = request.entries[number]
    telling = TELLINGS.get(entry.what)
    if telling is None:
        return None
    event_id = part_id("EV", request.id, number)
    lag = Random(event_id).uniform(0, lag_ms) if lag_ms else 0  # noqa: S311 - a wait, no secret
    return Event(
        id=event_id,
        at=at,
        visible_at=at + timedelta(milliseconds=lag),
        request=request,
        entry=entry,
        telling=telling,
        links=_links(request, number, telling),
        by_api=by_api,
    )


def event_json(event: Event) -> Json:
    telling = event.telling
    return {
        "id": event.id,
        "created_at": stamp(event.at),
        "resource_type": telling.resource_type,
        "action": telling.action,
        "metadata": event.by_api or {},
        "details": _details(event),
        "links": event.links,
        "resource_metadata": _resource_metadata(event),
    }


def _details(event: Event) -> Json:
    telling, entry = event.telling, event.entry
    cause = entry.note or telling.cause
    details: Json = {
        "origin": telling.origin if event.by_api is None else "api",
        "cause": cause,
        "description": f"{telling.resource_type} {telling.action}: {cause}.".replace("_", " "),
    }
    if telling.origin == "bank" and entry.what in FAILURES | {What.CHARGED_BACK}:
        scheme = scheme_of(event.request, event.request.entries)
        # Direct debits name the scheme's own code. Source: fact sheet, sections 5 and 5.2.
        codes = {"bacs": "ARUDD-0", "sepa_core": "AM04"}
        details |= {"scheme": scheme, "reason_code": codes.get(scheme, "FAILED")}
    match entry.what:
        case What.FAILED:
            details |= {"will_attempt_retry": False, "not_retried_reason": "other"}
        case What.FAILED_FOR_NOW:
            details["will_attempt_retry"] = True
        case _:
            pass
    return details


def _resource_metadata(event: Event) -> Mapping[str, str]:
    asked = event.request.asked
    match event.telling.resource_type:
        case "billing_requests":
            return asked.metadata
        case "payments" if asked.payment_request is not None:
            return asked.payment_request.metadata
        case _:
            return {}


def _links(request: BillingRequest, number: int, telling: Telling) -> Mapping[str, str]:
    entry = request.entries[number]
    match telling.resource_type:
        case "billing_requests":
            return _billing_links(request, number)
        case "payments":
            links = {"payment": payment_id(request)}
            if entry.what in (What.PAID_OUT, What.CHARGEBACK_SETTLED, What.LATE_FAILURE_SETTLED):
                links["payout"] = payout_id(request)
            return links
        case "refunds":
            return {"refund": refund_of(request, entry)}
        case "mandates":
            return {"mandate": mandate_id(request)}
        case "payouts":
            return {"payout": payout_id(request)}
        case _:
            return {"loyalty_card": part_id("LC", request.id)}


def _billing_links(request: BillingRequest, number: int) -> Mapping[str, str]:
    entry, until = request.entries[number], request.entries[: number + 1]
    links = {"billing_request": request.id}
    if entry.what not in WITHOUT_CUSTOMER:
        links["customer"] = customer_id(request)
    if entry.what in AT_FLOW:
        links["billing_request_flow"] = flow_of(request, entry)
    if entry.what in AT_BANK:
        links["bank_authorisation"] = authorisation_of(request, entry)
    takes_mandate = has_mandate(request.asked, until)
    if entry.what in (What.BANK_AUTHORISED, What.FULFILLED) and not takes_mandate:
        links["customer_bank_account"] = bank_account_id(request)
    if entry.what is What.FULFILLED and request.asked.payment_request is not None:
        links["payment_request_payment"] = payment_id(request)
    if entry.what is What.FULFILLED and takes_mandate:
        links["mandate_request_mandate"] = mandate_id(request)
    return links
