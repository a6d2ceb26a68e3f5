"""Reads and checks the body of a creation. Source: fact sheet, sections 1 and 5.1."""

import json
import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from service.sandbox.ing_payment_request.terms import Terms
from service.sandbox.ledger import Json
from service.sandbox.provider_http import ProviderError, json_answer

# The product page's stricter pair. Source: section 1, fact 7.
LIFE_MAX = timedelta(days=35)
TOTAL_MAX = 500_000
CENT = Decimal("0.01")
AMOUNT_MAX = Decimal("9999999999.99")

_PURCHASE_ID = re.compile(r"[a-zA-Z0-9]{0,35}")
# Source: section 5.2; neither slash nor line break nor euro sign.
_DESCRIPTION = re.compile(r"""[-A-Za-zÀ-ȕ0-9= %*+,.&@"\]':;?!#_^~()$]{1,1024}""")


class Refused(ProviderError):
    """A body that the provider does not take; target names the field, None for all of it."""

    def __init__(self, target: str | None, message: str) -> None:
        super().__init__(json_answer({"error": _error(target, message)}, 400))


def terms_in(body: bytes, now: datetime) -> Terms:
    """Return what a creation asks for. Raises Refused."""
    asked = read_json(body)
    fixed, variable = asked.get("fixedAmount"), asked.get("variableAmount")
    if (fixed is None) == (variable is None):
        raise Refused("fixedAmount", "Exactly one of fixedAmount and variableAmount is allowed")
    terms = Terms(
        valid_until=_valid_until(asked, now),
        purchase_id=_text(asked, "purchaseId", _PURCHASE_ID),
        description=_text(asked, "description", _DESCRIPTION),
        fixed=None if fixed is None else cents_in(fixed, "value", "fixedAmount"),
        suggested=_suggested(variable),
        least=_cents_if(variable, "minimumValue"),
        most=_cents_if(variable, "maximumValue"),
        payments_max=_count(asked),
        receivable_max=_receivable(asked),
        return_url=_return_url(asked),
    )
    if terms.asked > TOTAL_MAX:
        raise Refused("maximumReceivableAmount", "The total is above the product's limit")
    return terms


def read_json(body: bytes) -> dict[str, Any]:
    """Return an object whose numbers are decimals. Raises Refused."""
    try:
        sent = json.loads(body, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError) as error:
        raise Refused(None, "Body is not valid JSON") from error
    if not isinstance(sent, dict):
        raise Refused(None, "Body is not valid JSON")
    return sent


def cents_in(amount: object, name: str, target: str, *, least: Decimal = CENT) -> int:
    """Return an amount in cents: no decimal places or exactly two. Raises Refused for target."""
    value = amount.get(name) if isinstance(amount, dict) else None
    currency = amount.get("currency") if isinstance(amount, dict) else None
    if not isinstance(value, Decimal) or currency != "EUR":
        raise Refused(target, "A number and the currency EUR are required")
    exponent = value.as_tuple().exponent
    if exponent not in (0, -2) or not least <= value <= AMOUNT_MAX:
        raise Refused(target, "No decimal places, or two, and within the limits")
    return int(value.scaleb(2))


def _valid_until(asked: dict[str, object], now: datetime) -> datetime:
    text = asked.get("validUntil")
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Refused("validUntil", "A date-time with zone is required")
    if not now < moment <= now + LIFE_MAX:
        raise Refused("validUntil", "Must lie in the future, within the product's limit")
    return moment


def _text(asked: dict[str, object], name: str, pattern: re.Pattern[str]) -> str:
    text = asked.get(name)
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise Refused(name, "Only the documented characters are allowed")
    return text


def _suggested(variable: object) -> int | None:
    """Return what the payer finds filled in; it may be nothing."""
    if variable is None:
        return None
    return cents_in(variable, "suggestedValue", "variableAmount", least=Decimal(0))


def _cents_if(variable: object, name: str) -> int | None:
    if not isinstance(variable, dict) or name not in variable:
        return None
    return cents_in(variable, name, "variableAmount")


def _receivable(asked: dict[str, object]) -> int | None:
    if "maximumReceivableAmount" not in asked:
        return None
    return cents_in(asked["maximumReceivableAmount"], "value", "maximumReceivableAmount")


def _count(asked: dict[str, object]) -> int | None:
    count = asked.get("maximumAllowedPayments")
    if count is None:
        return None
    if not isinstance(count, Decimal) or count < 1 or count != count.to_integral_value():
        raise Refused("maximumAllowedPayments", "A whole number from 1 up is required")
    return int(count)


def _return_url(asked: dict[str, object]) -> str | None:
    url = asked.get("returnUrl")
    if url is not None and not (isinstance(url, str) and url.startswith("https://")):
        raise Refused("returnUrl", "Only https is allowed")
    return url


def _error(target: str | None, message: str) -> Json:
    """Return the error of a 400. Source: section 9 and its samples."""
    if target is None:
        code, source = "errParseFailed", "payment-requests"
        return {"severity": "error", "code": code, "message": message, "source": source}
    inner = {"severity": "error", "code": "errPattern", "message": message, "target": target}
    return {
        "severity": "error",
        "code": "errValidation",
        "message": "Request has an invalid field",
        "target": target,
        "innerErrors": [inner],
    }
