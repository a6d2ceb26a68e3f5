"""What Ginger's webhooks say. Source: fact sheet ginger, section 13."""

from collections.abc import Mapping

import msgspec

from service.sandbox.ginger.transactions import Seller
from service.sandbox.ledger import Json


class Notices:
    """Remembers what the merchant was told last of each order and transaction."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def is_news(self, subject_id: str, word: str) -> bool:
        """Return whether this was not the last thing told; it is from now on."""
        is_new = self._told.get(subject_id) != word
        self._told[subject_id] = word
        return is_new


def status_changed(seller: Seller, order_id: str, word: str, *, hint: bool) -> bytes:
    """Return the body about an order; hint: with its status."""
    body = {"event": "status_changed", "project_id": seller.project_id, "order_id": order_id}
    return msgspec.json.encode(body | ({"order_status": word} if hint else {}))


def transaction_status_changed(seller: Seller, order_id: str, transaction: Json) -> bytes:
    """Return the body about a transaction, as it is shown in its order."""
    body: Mapping[str, object] = {
        "event": "transaction_status_changed",
        "merchant_id": seller.merchant_id,
        "project_id": seller.project_id,
        "order_id": order_id,
        "transaction_id": transaction["id"],
        "transaction_status": transaction["status"],
    }
    return msgspec.json.encode(body)
