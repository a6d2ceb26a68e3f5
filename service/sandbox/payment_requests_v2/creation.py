"""Reads and checks the body of a creation. Source: fact sheet, sections 2 (create body) and 6."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from service.sandbox.payment_requests_v2.orders import Transfer, exponent_of

T = TypeVar("T")

PAYMENT_TYPES = ("local", "international")
ID_MAX = 2**63 - 1
AMOUNT_MAX = Decimal(10**12)
_CURRENCY = re.compile(r"[A-Z]{3}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class NotJson(Exception):
    """The body is no JSON object."""


class Invalid(Exception):
    """Fields that the provider does not take, by their path, each with what is wrong."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__(", ".join(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Asked:
    """What a creation asks for."""

    payment_type: str
    payment_means: str
    transfers: list[Transfer]


def body_of(content: bytes) -> dict[str, object]:
    """Return a body's fields, numbers with decimals as Decimal. Raises NotJson."""
    try:
        body = json.loads(content, parse_float=Decimal)
    except (ValueError, InvalidOperation, RecursionError) as error:
        raise NotJson from error
    if not isinstance(body, dict):
        raise NotJson
    return body


def asked_in(body: dict[str, object]) -> Asked:
    """Return what a creation asks for; its client account is the caller's to check.

    Raises Invalid with all that is wrong.
    """
    form = Form()
    payment_type = form.take(body, "payment_type", lambda value: _one_of(value, PAYMENT_TYPES))
    payment_means = form.take(body, "payment_means", _text)
    items = form.take(body, "transfers", _list) or []
    transfers = [form.transfer(item, f"transfers.{number}") for number, item in enumerate(items)]
    if form.errors or payment_type is None or payment_means is None:
        raise Invalid(form.errors)
    return Asked(payment_type, payment_means, [each for each in transfers if each is not None])


@dataclass(frozen=True, slots=True)
class Form:
    """Takes fields out of a body and keeps what is wrong with them, by path."""

    errors: dict[str, list[str]] = field(default_factory=dict)

    def take(self, holder: object, path: str, read: Callable[[object], T | None]) -> T | None:
        """Return a required field as read returns it; read returns None for what it is not."""
        name = path.rpartition(".")[2]
        value = holder.get(name) if isinstance(holder, dict) else None
        taken = None if value is None else read(value)
        if taken is None:
            self.errors[path] = ["is required" if value is None else "is invalid"]
        return taken

    def transfer(self, item: object, path: str) -> Transfer | None:
        """Return a transfer, None where something about it is wrong."""
        currency = self.take(item, f"{path}.currency_code", _currency)
        amount = self.take(item, f"{path}.amount", lambda value: _minor(value, currency))
        sides = [
            self.take(
                item.get(side) if isinstance(item, dict) else None,
                f"{path}.{side}.bank_account_id",
                identifier,
            )
            for side in ("debtor", "creditor")
        ]
        requested_on = None
        if isinstance(item, dict) and item.get("requested_transfer_date") is not None:
            requested_on = self.take(item, f"{path}.requested_transfer_date", _day)
        if currency is None or amount is None or sides[0] is None or sides[1] is None:
            return None
        return Transfer(sides[0], sides[1], amount, currency, requested_on)


def _one_of(value: object, options: tuple[str, ...]) -> str | None:
    return value if isinstance(value, str) and value in options else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _list(value: object) -> list[object] | None:
    return value if isinstance(value, list) and value else None


def identifier(value: object) -> int | None:
    """Return a value that can be an id, None for any other."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 1 <= value <= ID_MAX else None


def _currency(value: object) -> str | None:
    return value if isinstance(value, str) and _CURRENCY.fullmatch(value) else None


def _minor(value: object, currency: str | None) -> int | None:
    """Return an amount in minor units; without a good currency it has the usual two places."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if not 0 < value <= AMOUNT_MAX:
        return None
    exact, places = Decimal(value), exponent_of(currency or "")
    exponent = exact.as_tuple().exponent
    assert isinstance(exponent, int)
    return int(exact.scaleb(places)) if exponent >= -places else None


def _day(value: object) -> date | None:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None
