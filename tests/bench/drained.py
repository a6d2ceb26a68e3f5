"""What one process's drain takes for a stored backlog, beside bare calls to the same stub."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from tests.bench.processes import cpu_seconds
from tests.bench.report import ratio, spread, table
from tests.bench.site import Site


@dataclass
class Measured:
    """The repetitions of one way: items per second, microseconds of CPU per item by process."""

    per_second: list[float] = field(default_factory=list)
    worker: list[float] = field(default_factory=list)
    postgres: list[float] = field(default_factory=list)

    async def take(self, site: Site, work: Callable[[], Awaitable[object]], orders: int) -> None:
        """Do the work and note what one of so many orders took."""
        postgres = cpu_seconds([site.postgres])
        cpu, started = time.process_time(), time.monotonic()
        await work()
        self.per_second.append(orders / (time.monotonic() - started))
        self.worker.append((time.process_time() - cpu) / orders * 1e6)
        self.postgres.append((cpu_seconds([site.postgres]) - postgres) / orders * 1e6)


def compare(stage: str, items: str, ways: Mapping[str, Measured]) -> None:
    """Print the table of both ways, ours first, and the ratio of the stage with its CPU."""
    table(
        ("way", f"{items} per second", "min..max", "worker CPU µs", "postgres CPU µs"),
        [
            (
                name,
                f"{median(one.per_second):,.0f}",
                spread(one.per_second),
                f"{median(one.worker):,.0f}",
                f"{median(one.postgres):,.0f}",
            )
            for name, one in ways.items()
        ],
    )
    ours, bare = ways.values()
    pairs = zip(ours.per_second, bare.per_second, strict=True)
    ratio(f"{stage}_vs_limit", [one / other for one, other in pairs])
    ratio(f"{stage}_cpu_us", [sum(one) for one in zip(ours.worker, ours.postgres, strict=True)])
