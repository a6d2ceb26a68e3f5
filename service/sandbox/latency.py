"""How long a change takes from the provider's webhook to the ERP's door."""

import math
import statistics
from collections.abc import Callable


class Latency:
    """Pairs webhooks that went undisturbed with the first notification that shows their news.

    A pair is matched by the provider's order id and status. Of several sendings of the same
    word the first unanswered one counts: a sample can be too long, never too short.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._sent: dict[tuple[str, str], float] = {}
        self.samples_ms: list[float] = []

    def sent(self, provider_id: str, word: str) -> None:
        """A webhook leaves now."""
        self._sent.setdefault((provider_id, word), self._monotonic())

    def disturbed(self, provider_id: str, word: str) -> None:
        """The webhook was not taken at once: it is no sample."""
        self._sent.pop((provider_id, word), None)

    def arrived(self, body: object) -> None:
        """A notification reached the ERP; it may be about anything."""
        match body:
            case {"data": {"provider": {"id": str(provider_id), "status": str(word)}}}:
                sent_at = self._sent.pop((provider_id, word), None)
                if sent_at is not None:
                    self.samples_ms.append((self._monotonic() - sent_at) * 1000)
            case _:
                pass

    def summary(self) -> dict[str, object]:
        """Return all samples with their median and 99th percentile (nearest rank), in ms."""
        ordered = sorted(self.samples_ms)
        rank = math.ceil(len(ordered) * 0.99) - 1
        return {
            "count": len(ordered),
            "median_ms": statistics.median(ordered) if ordered else None,
            "p99_ms": ordered[rank] if ordered else None,
            "samples_ms": self.samples_ms,
        }
