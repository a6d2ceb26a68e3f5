"""How the provider shows an order's ledger. Source: fact sheet payment_requests_v2, sections 2, 3.

The sheet documents one status, `initiated`. The others are assumed: plain words, or one of the
bank link's two vocabularies. What an account's style has no word for is said in a plain word, and
what has no plain word in the bank's lower-case ISO 20022 code. Where there are several words for
one thing, the id of what has the status decides: a word never changes by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from service.sandbox.ledger import Entry, Json
from service.sandbox.payment_requests_v2.happenings import What, newest_of
from service.sandbox.payment_requests_v2.orders import PaymentOrder, Transfer

Style = Literal["words", "iso", "numbers"]
Vocabulary = Mapping[What | None, tuple[str, ...]]

INITIATED = "initiated"
PLAIN: Final[Vocabulary] = MappingProxyType(
    {
        None: (INITIATED,),
        What.QUEUED: ("pending_approval",),
        What.APPROVED: ("accepted",),
        What.BOOKED: ("completed", "executed"),
        What.REJECTED: ("rejected",),
        What.FAILED: ("failed",),
        What.CANCELLED: ("cancelled",),
        What.RETURNED: ("returned",),
    }
)
CODES: Final[Vocabulary] = MappingProxyType(
    {
        None: ("rcvd",),
        What.APPROVED: ("accp", "actc"),
        What.EXECUTING: ("acsp", "pdng", "acwc", "acwp"),
        What.SENT: ("acsc",),
        What.BOOKED: ("accc",),
        What.REJECTED: ("rjct",),
    }
)
NUMBERS: Final[Vocabulary] = MappingProxyType(
    {
        None: ("0",),
        What.QUEUED: ("1",),
        What.EXECUTING: ("4", "3", "6"),
        What.BOOKED: ("7",),
        What.REJECTED: ("5",),
        What.CANCELLED: ("2", "8"),
    }
)
SPOKEN: Final[Mapping[Style, Vocabulary]] = MappingProxyType(
    {
        "words": {**CODES, **PLAIN},
        "iso": {**PLAIN, **CODES},
        "numbers": {**CODES, **PLAIN, **NUMBERS},
    }
)
# Case and blanks mean nothing (assumed, section 3): the style "words" has all of these.
DRESSES: Final[Sequence[Callable[[str], str]]] = (
    str,
    str.upper,
    str.capitalize,
    lambda word: f" {word.title()} ",
)

PAYER_PARTNER, PAYEE_PARTNER = None, 77

# Amounts are JSON numbers in major units.
ENCODER = msgspec.json.Encoder(decimal_format="number")


def order_json(
    order: PaymentOrder,
    entries: Sequence[Entry],
    *,
    style: Style,
    client_account_id: int,
    relations: frozenset[str] = frozenset(),
) -> Json:
    """Return an order as a read shows it.

    relations are the sides, "debtor" and "creditor", whose bank accounts are shown in full.
    """
    return {
        "id": int(order.id),
        "created_at": order.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **order.as_created,
        "client_account_id": client_account_id,
        "payment_type": order.payment_type,
        "payment_means": order.payment_means,
        "payment_status": word(own_state(order, entries), int(order.id), style),
        "transfers": [
            {
                "id": int(transfer_id),
                **_sides(transfer, client_account_id, relations),
                "requested_transfer_date": transfer.requested_on,
                "payment_status": word(newest_of(entries, transfer_id), int(transfer_id), style),
                "amount": transfer.major,
                "currency_code": transfer.currency,
            }
            for transfer_id, transfer in order.transfers.items()
        ],
    }


def word(what: What | None, identifier: int, style: Style) -> str:
    """Return the status that says what happened last to whatever has this id."""
    options = SPOKEN[style][what]
    chosen = options[identifier % len(options)]
    if style != "words" or chosen == INITIATED:
        return chosen
    return DRESSES[identifier // 4 % len(DRESSES)](chosen)


def own_state(order: PaymentOrder, entries: Sequence[Entry]) -> What | None:
    """Return what the request's own status says: what its transfers agree on.

    Where they do not agree it is the one after creation, as in the sheet's sample.
    """
    followed = list(order.transfers)
    for number, entry in enumerate(entries):
        if entry.what is What.HASTY:
            followed = followed[:1]
        if entry.what is What.STUCK:
            entries = entries[:number]
            break
    states = {newest_of(entries, transfer_id) for transfer_id in followed}
    return states.pop() if len(states) == 1 else None


def _sides(transfer: Transfer, client_account_id: int, relations: frozenset[str]) -> Json:
    """Return a transfer's two bank accounts: ids, and what was asked for beside them."""
    shown: Json = {}
    for side, account_id, partner_id in (
        ("debtor", transfer.debtor, PAYER_PARTNER),
        ("creditor", transfer.creditor, PAYEE_PARTNER),
    ):
        inner: Json = {"bank_account_id": account_id}
        if side in relations:
            inner["bank_account"] = {
                "id": account_id,
                "client_account_id": client_account_id,
                "business_partner_id": partner_id,
                "name": f"Konto {account_id}",
                "type": "CURRENT",
                "bban": f"{account_id:011d}",
                "iban": f"NO93{account_id:011d}",
                "bank_country": "NO",
                "bank_name": "Eksempelbank",
                "bic": "EKSENOKK",
                "currency_code": transfer.currency,
            }
        shown[side] = inner
    return shown
