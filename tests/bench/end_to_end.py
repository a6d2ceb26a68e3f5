"""From the webhook to the ERP: ours against the plain way, with the same stub on the other side."""

from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median, quantiles

from tests.bench.load import Plan
from tests.bench.report import Scale, ratio, say, spread, table
from tests.bench.site import PATH, Site
from tests.bench.ways import Ours, Plain, Played, Way, play

WARM_UP = 200
PROVIDER_MS = 20

BURST = ("end_to_end_vs_plain", "wake_messages_per_1000", "cpu_s_per_1000")
LATENCY = ("latency_p50_vs_floor", "latency_p99_vs_floor")


def measure(site: Site, scale: Scale, names: Sequence[str]) -> None:
    """Play bursts in turn, then calls at half that rate with a slower provider."""
    with ExitStack() as stack:
        ours: Way = stack.enter_context(Ours.running(site))
        ways = [ours]
        if not {*BURST}.isdisjoint(names):
            ways.append(stack.enter_context(Plain.running(site)))
        for way in ways:
            play(way, site, Plan(way.port, PATH, count=WARM_UP))
        played: dict[str, list[Played]] = {way.name: [] for way in ways}
        for _ in range(scale.repetitions):
            for way in ways:
                played[way.name].append(play(way, site, Plan(way.port, PATH, count=scale.orders)))
        _print_bursts(played, scale.orders)
        if not {*LATENCY}.isdisjoint(names):
            rate = median(one.per_second for one in played["ours"]) / 2
            _latency(ours, site, scale, rate)


def _print_bursts(played: dict[str, list[Played]], orders: int) -> None:
    say(f"\nend to end: bursts of {orders:,} orders, provider and ERP answer at once")
    table(
        ("way", "orders per second", "min..max", "with order news", "CPU s per 1,000", "of it"),
        [
            (
                name,
                f"{median(one.per_second for one in runs):,.0f}",
                spread([one.per_second for one in runs]),
                f"{median(one.per_second_of_all for one in runs):,.0f}",
                f"{median(one.cpu_per_1000 for one in runs):.2f}",
                _parts(runs),
            )
            for name, runs in played.items()
        ],
    )
    ours = played["ours"]
    if plain := played.get("plain"):
        pairs = list(zip(ours, plain, strict=True))
        ratio("end_to_end_vs_plain", [one.per_second / other.per_second for one, other in pairs])
        ratio(
            "end_to_end_with_order_news_vs_plain",
            [one.per_second_of_all / other.per_second_of_all for one, other in pairs],
        )
        ratio("cpu_s_per_1000_plain", [one.cpu_per_1000 for one in plain])
    ratio("cpu_s_per_1000", [one.cpu_per_1000 for one in ours])
    ratio("wake_messages_per_1000", [one.wakes * 1000 / orders for one in ours])


def _parts(runs: Sequence[Played]) -> str:
    """Return the CPU time per 1,000 orders of each kind of process."""
    return ", ".join(
        f"{role} {median(one.cpu[role] * 1000 / one.orders for one in runs):.2f}"
        for role in runs[0].cpu
    )


def _latency(ours: Way, site: Site, scale: Scale, rate: float) -> None:
    """Play calls at a rate with exponential gaps; every call counts, the first ones too."""
    count = int(rate * scale.latency_seconds)
    plan = Plan(ours.port, PATH, count=count, per_second=rate)
    play(ours, site, plan, delay_ms=PROVIDER_MS)
    runs = [play(ours, site, plan, delay_ms=PROVIDER_MS) for _ in range(scale.repetitions)]
    cuts = [quantiles(one.latencies, n=100) for one in runs]
    p50, p99 = ([cut[at - 1] * 1000 for cut in cuts] for at in (50, 99))
    say(f"\nlatency: {rate:,.0f} webhooks a second, the provider takes {PROVIDER_MS} ms")
    table(
        ("webhook to ERP", "median ms", "min..max"),
        [(name, f"{median(of):.1f}", spread(of)) for name, of in (("p50", p50), ("p99", p99))],
    )
    ratio("latency_p50_vs_floor", [value / PROVIDER_MS for value in p50])
    ratio("latency_p99_vs_floor", [value / PROVIDER_MS for value in p99])
