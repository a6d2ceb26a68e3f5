"""How fast batches are stored, and what a call has to expect that comes now."""


class Pace:
    """Times one batch after the other; now is always of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._seconds = 0.0  # that the last batch took, or the longest since one was stored
        self._began_at: float | None = None

    def begin(self, now: float) -> None:
        self._began_at = now

    def end(self, now: float, *, is_stored: bool) -> None:
        """Note a batch. One of which nothing was stored says nothing good of the next one."""
        if self._began_at is not None:
            took = now - self._began_at
            self._seconds = took if is_stored else max(self._seconds, took)
        self._began_at = None

    def expected_seconds(self, batches: int, now: float) -> float:
        """Return how long it takes from now until so many batches are stored after the one in hand.

        Each is expected to take as long as the last one did. One in hand that has taken longer
        than that already is expected to take as long again.
        """
        return self._left_seconds(now) + batches * self._seconds

    def _left_seconds(self, now: float) -> float:
        if self._began_at is None:
            return 0.0
        so_far = now - self._began_at
        return self._seconds - so_far if so_far <= self._seconds else so_far
