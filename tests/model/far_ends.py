"""The far ends of the wires: the provider that answers from its ledgers, the ERP that listens."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.model.actors import answer_of, here
from tests.model.ledger import Ledger, ginger_order, ing_request


@dataclass(slots=True)
class FarEnds:
    """All that is not ours. inbox holds what the ERP heard, in order of arrival."""

    ledgers: list[Ledger]
    inbox: list[dict[str, Any]] = field(default_factory=list)
    read_freely: Callable[[Ledger], None] = lambda ledger: None

    def named(self, provider_id: str) -> Ledger:
        return next(ledger for ledger in self.ledgers if ledger.key.provider_id == provider_id)

    def begun_by(self, path: str) -> Ledger | None:
        """Return the ledger whose read begins with a call to path."""
        return next((ledger for ledger in self.ledgers if ledger.path == path), None)

    def concerned_by(self, path: str) -> Ledger | None:
        """Return the ledger that a call to path reads a part of."""
        return next((ledger for ledger in self.ledgers if path in ledger.bodies()), None)

    def provide(self, request: httpx.Request) -> httpx.Response:
        """Answer a read or a page of the list with what is held now."""
        path = request.url.path
        actor, begun = here(), self.begun_by(path)
        if begun is not None and actor is not None and actor.is_free:
            self.read_freely(begun)
        ledger = self.concerned_by(path)
        return answer_of(request, ledger.bodies()[path] if ledger else None)

    def hear(self, request: httpx.Request) -> httpx.Response:
        data = json.loads(request.content)["data"]
        self.inbox.append(
            {
                "id": request.headers["webhook-id"],
                "subject": data.get("request_id") or data["order_id"],
                "sequence": data["sequence"],
                "body": request.content.decode(),
            }
        )
        return httpx.Response(204, request=request)


def ledgers_of(*, with_ing: bool) -> list[Ledger]:
    return [ginger_order(), *([ing_request()] if with_ing else [])]
