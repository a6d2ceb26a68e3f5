"""The reference model: what a provider holds of one request, and what had to be read when.

Statuses and amounts are written down by hand from STATUSES.md; nothing here is computed by what
it judges.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from service.domain.request import Key, Kind
from tests.flow.world import key_of, order, order_id, refund

AMOUNT = 4000
PART = 1000
ING_ID = "xrgq1coyp1pnnfigiaaa6pqn1o9lc0gh"
_CHARGE_BACK = 200


@dataclass(frozen=True, slots=True)
class Held:
    """What the provider holds at one time, in our words; amounts in minor units."""

    status: str
    received: int = 0
    refunded: int = 0
    taken_back: int = 0


@dataclass(slots=True, repr=False)
class Ledger:
    """One request at its provider: all that it ever held, the newest last.

    raised says, for each generation that was asked for, what was the newest when it was asked for.
    covers is the newest generation that an answer brought in so far was taken after.
    """

    key: Key
    moves: list[str] = field(default_factory=list)
    held: list[Held] = field(default_factory=lambda: [Held("open")])
    raised: dict[int, int] = field(default_factory=dict)
    covers: int = 0

    def __repr__(self) -> str:
        return f"{self.key.kind} {self.moves}"

    @property
    def path(self) -> str:
        """Where a read of it begins."""
        raise NotImplementedError

    def bodies(self) -> dict[str, Any]:
        """Return what the provider answers now, by path."""
        raise NotImplementedError

    def version(self, number: int) -> int | None:
        """Return the version that the provider gives a state, None where it has none."""
        return None

    @property
    def now(self) -> int:
        """The number of the newest state, from 0."""
        return len(self.held) - 1

    @property
    def received_max(self) -> int:
        return max(held.received for held in self.held)

    @property
    def possible(self) -> list[str]:
        """The moves that this request can make next."""
        held = self.held[-1]
        if held.status in ("open", "processing"):
            return ["process", "pay", "expire"] if held.status == "open" else ["pay", "expire"]
        if held.status == "expired":
            return ["pay"]
        return ["refund", "charge_back"] if held.status == "paid" else []

    def move(self, name: str) -> None:
        """Have something happen at the provider; it tells nobody."""
        held = self.held[-1]
        back = AMOUNT - held.refunded
        match name:
            case "process":
                after = Held("processing")
            case "expire":
                after = Held("expired")
            case "pay":
                after = Held("paid", AMOUNT)
            case "refund":
                refunded = held.refunded + PART
                status = "reversed" if refunded == AMOUNT else "paid"
                after = Held(status, AMOUNT, refunded)
            case "charge_back":
                after = Held("reversed", AMOUNT, AMOUNT, back)
            case _:
                raise ValueError(name)
        self.moves.append(name)
        self.held.append(after)

    def number_of(self, request: dict[str, Any]) -> int:
        """Return which state a recorded request shows; -1 for none that ever was."""
        shown = Held(
            request["status"], request["received"], request["refunded"], request["taken_back"]
        )
        return max((n for n, held in enumerate(self.held) if held == shown), default=-1)


class GingerOrder(Ledger):
    """An order whose provider says with each answer when it last changed."""

    @property
    def path(self) -> str:
        return f"/v1/orders/{order_id(1)}/"

    def bodies(self) -> dict[str, Any]:
        backs = {
            order_id(100 + n): refund(100 + n, of=1, amount=PART)
            for n in range(self.moves.count("refund"))
        }
        taken = {}
        if "charge_back" in self.moves:
            taken[order_id(_CHARGE_BACK)] = refund(
                _CHARGE_BACK, of=1, amount=self.held[-1].taken_back
            ) | {"refund_of_order_id": None, "chargeback_of_order_id": order_id(1)}
        now = self._order() | {"refund_orders": list(backs), "chargeback_orders": list(taken)}
        found = {order_id(1): now, **backs, **taken}
        return {f"/v1/orders/{name}/": body for name, body in found.items()} | {
            "/v1/orders/": [now]
        }

    def version(self, number: int) -> int | None:
        modified = str(order(1, minute=number + 1)["modified"])
        return int(datetime.fromisoformat(modified).timestamp()) * 1_000_000

    def _order(self) -> dict[str, Any]:
        recorded = {
            "open": "order_new",
            "processing": "order_processing",
            "expired": "order_expired",
        }.get(self.held[-1].status, "order_completed")
        return order(1, recorded, amount=AMOUNT, minute=self.now + 1)


class IngRequest(Ledger):
    """A payment request whose provider has no version to tell, read by two calls."""

    @property
    def path(self) -> str:
        return f"/payment-requests/{ING_ID}"

    @property
    def possible(self) -> list[str]:
        return ["pay"] if self.held[-1].status in ("open", "expired") else []

    def bodies(self) -> dict[str, Any]:
        held = self.held[-1]
        euros = {"value": held.received / 100, "currency": "EUR"}
        asked = {"value": AMOUNT / 100, "currency": "EUR"}
        paid = {"transactionId": f"{1:016d}", "executed": "2026-11-16T14:17:20.124+02:00"}
        request = {
            "id": ING_ID,
            "status": {"open": "open", "expired": "expired"}.get(held.status, "fulfilled"),
            "fixedAmount": asked,
            "maximumAllowedPayments": 1,
            "maximumReceivableAmount": asked,
            "validUntil": "2099-06-18T23:59:59.000+02:00",
            "purchaseId": "INV1043",
        }
        payments = [paid | {"amount": euros}] if held.received else []
        return {
            f"/payment-requests/{ING_ID}": request,
            f"/payment-requests/{ING_ID}/payments": {"payments": payments},
        }


def ginger_order() -> GingerOrder:
    return GingerOrder(key_of(1))


def ing_request() -> IngRequest:
    return IngRequest(Key("ing", Kind.PAYMENT_REQUEST, ING_ID))
