"""What each recording must come to, and what the shared suite must know of each provider."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.domain.request import BelongsTo, Kind, NotOurs, Unmapped
from service.domain.status import Status
from service.errors import Unreadable
from service.providers import AccountContext, Provider
from service.registry import PROVIDERS
from service.settings import Secret, Section

RECORDED = Path(__file__).with_name("recorded")


@dataclass(frozen=True)
class Seen:
    """An observation, in minor units."""

    status: Status
    received: int = 0
    refunded: int = 0
    taken_back: int = 0
    final: bool = False
    attention: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Told:
    """The event in a call: what to read, or why nothing."""

    kind: Kind | None
    provider_id: str | None
    reason: str | None = None


@dataclass(frozen=True)
class Lists:
    """The ids on a page."""

    provider_ids: tuple[str, ...]


Expected = Seen | Told | Lists | BelongsTo | NotOurs | Unmapped | type[Unreadable]


@dataclass(frozen=True)
class Row:
    """A recording's answer.

    asked is the id that was read, by default the recording's own. others are the recordings
    that answer further calls, by path.
    """

    expected: Expected
    asked: str | None = None
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class World:
    """What the shared suite must know of one provider.

    saying makes an answer to the read of known_id whose status is a given word.
    """

    keys: Section
    api_base: str
    kind: Kind
    known_id: str
    other_id: str
    wrong_ids: tuple[str, ...]
    saying: Callable[[str], bytes]
    rows: Mapping[str, Row]

    def adapter(self, provider: str, *, live: bool = False) -> Provider:
        context = AccountContext(name="test", words={}, live=live)
        return PROVIDERS[provider].make(self.keys, context)


def recording(provider: str, file: str) -> bytes:
    return (RECORDED / provider / file).read_bytes()


GINGER_ORDER = "93101167-9065-4b9c-b98b-5d789a3ed9fe"
GINGER_REFUND = "2199ba28-2dc6-4ab2-92ce-9da4fa66573f"
GINGER_TOLD = Row(Told(Kind.ORDER, GINGER_ORDER))
GINGER_ERROR = Row(Unreadable, asked=GINGER_ORDER)


def _ginger_saying(word: str) -> bytes:
    order = json.loads(recording("ginger", "order_completed.json"))
    return json.dumps({**order, "status": word}).encode()


WORLDS = {
    "ginger": World(
        keys=PROVIDERS["ginger"].keys(
            api_base="https://api.psp.example",
            api_key=Secret("0123456789abcdef0123456789abcdef"),
            project_ids=(
                "405d8375-3514-403b-8c43-83ae74cfe0e9",
                "1ef558ed-d77d-470d-b43b-c0f4a131bcef",
            ),
        ),
        api_base="https://api.psp.example/v1/orders/",
        kind=Kind.ORDER,
        known_id=GINGER_ORDER,
        other_id=GINGER_REFUND,
        wrong_ids=(
            "",
            "..",
            "../../v1/merchants/self",
            "93101167",
            GINGER_ORDER + "\n",
            GINGER_ORDER + "/",
            GINGER_ORDER + "/../" + GINGER_REFUND,
            GINGER_ORDER + "?a=b",
            GINGER_ORDER + "#",
            GINGER_ORDER + "%2f..",
            "@evil.example/" + GINGER_ORDER,
            " " + GINGER_ORDER,
            GINGER_ORDER.replace("-", ""),
            "{" + GINGER_ORDER + "}",
            "urn:uuid:" + GINGER_ORDER,
            GINGER_ORDER.replace("9", "٩"),  # Arabic-indic nines
            GINGER_ORDER.replace("9", "g"),
            GINGER_ORDER.upper(),
        ),
        saying=_ginger_saying,
        rows={
            "webhook_new.json": GINGER_TOLD,
            "webhook_processing.json": GINGER_TOLD,
            "webhook_error.json": GINGER_TOLD,
            "webhook_completed.json": GINGER_TOLD,
            "webhook_cancelled.json": GINGER_TOLD,
            "webhook_expired.json": GINGER_TOLD,
            "webhook_without_order_status.json": GINGER_TOLD,
            "webhook_transaction_status_changed.json": GINGER_TOLD,
            "order_new.json": Row(Seen(Status.OPEN)),
            "order_new_reference_example.json": Row(Seen(Status.OPEN)),
            "order_processing.json": Row(Seen(Status.PROCESSING)),
            "order_processing_bank_transfer.json": Row(Seen(Status.OPEN)),
            "order_error.json": Row(Seen(Status.FAILED)),
            "create_order_response_payment_error.json": Row(Seen(Status.FAILED)),
            "order_cancelled.json": Row(Seen(Status.CANCELLED, final=True)),
            "order_expired.json": Row(Seen(Status.EXPIRED, final=True)),
            "order_completed.json": Row(Seen(Status.PAID, received=12495, final=True)),
            "order_completed_after_retry.json": Row(Seen(Status.PAID, received=12495, final=True)),
            "order_see_transactions.json": Row(Seen(Status.PART_PAID, received=5000)),
            "order_authorized_not_captured.json": Row(Seen(Status.ACCEPTED)),
            "order_captured_partially.assumed.json": Row(Seen(Status.PART_PAID, received=2500)),
            "order_captured_full.assumed.json": Row(Seen(Status.PAID, received=5000, final=True)),
            "order_voided.assumed.json": Row(Seen(Status.CANCELLED, final=True)),
            "order_partially_refunded.json": Row(
                Seen(Status.PAID, received=12495, refunded=2500, final=True),
                others={f"/v1/orders/{GINGER_REFUND}/": "refund_response_order_shape.json"},
            ),
            "refund_response_order_shape.json": Row(BelongsTo(Kind.ORDER, GINGER_ORDER)),
            # The compact shape names no project: it cannot be shown to be ours.
            "refund_response_compact.json": Row(Unreadable),
            "refunds_list.json": Row(Lists((GINGER_REFUND,))),
            "orders_list_empty.json": Row(Lists(())),
            "orders_list_reference_example.json": Row(
                Lists(
                    (
                        "1c969951-f5f1-4290-ae41-6177961fb3cb",
                        "0125e02b-557c-4fb5-956a-d22662d71ad9",
                        "e4d22966-fbba-4753-ab89-b1ec9997171e",
                    )
                )
            ),
            # Errors are told by their HTTP status; as the answer to a read they are no order.
            "error_400_validation.json": GINGER_ERROR,
            "error_401.json": GINGER_ERROR,
            "error_401_flat.json": GINGER_ERROR,
            "error_403.json": GINGER_ERROR,
            "error_404.json": GINGER_ERROR,
            "error_412_if_match.assumed.json": GINGER_ERROR,
            "error_500.json": GINGER_ERROR,
        },
    ),
}
