"""A provider's rate limit: so many calls in any stretch of so many seconds."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class CallLimit:
    """Counts calls. monotonic tells the time in seconds."""

    calls: int
    seconds: float
    monotonic: Callable[[], float] = time.monotonic
    _taken: deque[float] = field(default_factory=deque)

    def take(self) -> bool:
        """Count a call if there is one left; return whether there was."""
        self._forget()
        if len(self._taken) >= self.calls:
            return False
        self._taken.append(self.monotonic())
        return True

    @property
    def remaining(self) -> int:
        """How many calls are left now."""
        self._forget()
        return max(0, self.calls - len(self._taken))

    @property
    def reset_seconds(self) -> float:
        """After how many seconds there is one more call than now; 0 when none was taken."""
        self._forget()
        return self._taken[0] + self.seconds - self.monotonic() if self._taken else 0.0

    def _forget(self) -> None:
        horizon = self.monotonic() - self.seconds
        while self._taken and self._taken[0] <= horizon:
            self._taken.popleft()
