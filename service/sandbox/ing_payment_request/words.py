"""How ING shows a payment request's ledger. Source: fact sheet ing_payment_request, section 5."""

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import msgspec

from service.sandbox.ing_payment_request.happenings import end_of, payments_in
from service.sandbox.ing_payment_request.terms import Terms
from service.sandbox.ledger import Entry, Json, PaymentRequest

# Times are shown in Dutch summer time, as in the samples.
AMSTERDAM = timezone(timedelta(hours=2))
PAY_URL = "https://www.ing.nl/zakelijk/betaalverzoek/index.html?trxid="

DEBTORS = (
    ("A. Lovelace", "NL99INGB0000000001", "INGBNL2A"),
    ("C. Babbage", "NL99INGB0000000002", "RABONL2U"),
)

# Amounts are JSON numbers in euros.
ENCODER = msgspec.json.Encoder(decimal_format="number")


def status_word(terms: Terms, entries: Sequence[Entry]) -> str:
    """Return the status. Source: section 6.1."""
    return end_of(terms, entries) or "open"


def request_json(request: PaymentRequest, terms: Terms, entries: Sequence[Entry]) -> Json:
    """Return a payment request as a read shows it; absent is what was not set."""
    shown: Json = {"id": request.id, "status": status_word(terms, entries)}
    if terms.fixed is not None:
        shown["fixedAmount"] = euros(terms.fixed)
    else:
        values = {
            "minimumValue": terms.least,
            "maximumValue": terms.most,
            "suggestedValue": terms.suggested,
        }
        shown["variableAmount"] = {
            name: _decimal(cents) for name, cents in values.items() if cents is not None
        } | {"currency": "EUR"}
    shown["validUntil"] = stamp(terms.valid_until)
    if terms.payments_max is not None:
        shown["maximumAllowedPayments"] = terms.payments_max
    if terms.receivable_max is not None:
        shown["maximumReceivableAmount"] = euros(terms.receivable_max)
    shown |= {
        "purchaseId": terms.purchase_id,
        "description": terms.description,
        "paymentInitiationUrl": PAY_URL + request.id,
    }
    if terms.return_url is not None:
        shown["returnUrl"] = terms.return_url
    return shown


def payments_json(entries: Sequence[Entry]) -> Json:
    """Return the payments; what is listed has been paid. The order is not promised."""
    payments = []
    for number, entry in enumerate(payments_in(entries)):
        name, iban, bic = DEBTORS[number % len(DEBTORS)]
        payments.append(
            {
                "transactionId": entry.subject,
                "executed": stamp(entry.at),
                "amount": euros(entry.amount),
                "debtor": {"name": name, "iban": iban, "bic": bic},
            }
        )
    return {"payments": payments[::-1]}


def euros(cents: int) -> Json:
    return {"value": _decimal(cents), "currency": "EUR"}


def stamp(moment: datetime) -> str:
    """Return milliseconds with an offset, as in the samples."""
    return moment.astimezone(AMSTERDAM).isoformat(timespec="milliseconds")


def _decimal(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)
