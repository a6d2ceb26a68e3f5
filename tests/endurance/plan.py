"""What strikes when: one plan from one seed, made before anything happens."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from service.cli.demo_plan import PAUSE_SECONDS, POLL_SECONDS_MIN, Plan, PlannedOrder
from tests.endurance.proxy import Toxic
from tests.scale.fleet import KINDS

# Traffic runs undisturbed for so long before the first strike: what is normal is noted then.
WARM_SECONDS = 8.0

# A machine that does much else makes strikes late; there are so many times as many orders.
SPARE = 4
POLLS_PER_SECOND = 25

GAP_SECONDS = (1.5, 4.0)

LINKS = ("provider", "erp", "postgres", "redis")
HTTP_ONLY = (Toxic.DUPLICATE,)


class Fault(StrEnum):
    """What may strike."""

    RECEIVER = "receiver"  # SIGKILL, then started again; so the next two
    WORKER = "worker"
    BEAT = "beat"
    REDIS = "redis"  # SIGKILL, away for a while
    POSTGRES = "postgres"  # SIGKILL to each of its processes, away for a while
    RESTART = "restart"  # PostgreSQL's immediate stop
    FLUSH = "flush"  # FLUSHALL
    DISK = "disk"  # the file system of both servers is full
    CLOCK = "clock"  # a process whose wall clock is wrong, or jumps
    PAUSE = "pause"  # SIGSTOP of a worker, until its supervisor replaces it
    EXHAUST = "exhaust"  # every connection of PostgreSQL is taken
    LOCK = "lock"  # LOCK TABLE in access exclusive mode
    LINK = "link"  # a toxic on one link
    PROVIDER = "provider"  # every provider answers wrongly
    ERP = "erp"


# How often each strikes in one round, and for how many seconds.
ROUND: Mapping[Fault, tuple[int, tuple[float, float]]] = {
    Fault.RECEIVER: (2, (0.0, 0.0)),
    Fault.WORKER: (3, (0.0, 0.0)),
    Fault.BEAT: (1, (0.0, 0.0)),
    Fault.REDIS: (1, (0.5, 13.0)),
    Fault.POSTGRES: (2, (0.2, 3.0)),
    Fault.RESTART: (1, (0.0, 1.0)),
    Fault.FLUSH: (1, (0.0, 0.0)),
    Fault.DISK: (1, (8.0, 12.0)),
    Fault.CLOCK: (1, (12.0, 18.0)),
    Fault.PAUSE: (1, (60.0, 60.0)),
    Fault.EXHAUST: (1, (4.0, 8.0)),
    Fault.LOCK: (1, (4.0, 12.0)),
    Fault.LINK: (6, (4.0, 7.0)),
    Fault.PROVIDER: (2, (4.0, 6.0)),
    Fault.ERP: (2, (4.0, 6.0)),
}

PROVIDER_ANSWERS = (
    "error",
    "too_many",
    "html",
    "slow",
    "stale",
    "not_found",
    "unauthorised",
    "wrong_resource",
    "unknown_word",
)
ERP_ANSWERS: Mapping[str, Mapping[str, object]] = {
    "error": {"error_rate": 0.5},
    "unavailable": {"status": 503, "retry_after_seconds": 2},
    "too_many": {"status": 429, "retry_after_seconds": 2},
    "reset": {"reset_rate": 0.5},  # accepted, then no answer
    "slow": {"slow_rate": 0.5, "slow_ms": 2000},
    "hang": {"slow_rate": 0.3, "slow_ms": 22_000},  # longer than a delivery may take
}


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault: when at the earliest, on whom, in which way, and for how long at most."""

    at_seconds: float
    fault: Fault
    target: str
    how: str
    lasts_seconds: float

    def __str__(self) -> str:
        return (
            f"at={self.at_seconds:.1f} fault={self.fault} target={self.target}"
            f" how={self.how} lasts={self.lasts_seconds:.1f}"
        )


# The most telling ones, in as little time as they need: a version for every day.
SHORT_SECONDS = 7.0
SHORT_KINDS: Mapping[str, int] = {"web": 1, "worker": 1, "beat": 1}
SHORT = (
    Strike(1.0, Fault.POSTGRES, "servers", "SIGKILL", 0.3),
    Strike(2.0, Fault.LINK, "postgres", "drop_answer", 1.0),
    Strike(3.5, Fault.RECEIVER, "web-0", "SIGKILL", 0.0),
    Strike(4.0, Fault.FLUSH, "servers", "FLUSHALL", 0.0),
    Strike(4.5, Fault.REDIS, "servers", "SIGKILL", 0.5),
    Strike(5.5, Fault.LINK, "erp", "duplicate", 1.0),
)


@dataclass(frozen=True, slots=True)
class EndurancePlan(Plan):
    """What is played. Its patience outlasts leases, pauses of accounts and two looks at each."""

    @property
    def poll_seconds(self) -> float:
        """Seldom enough that processes which start again and again have time for it."""
        return max(POLL_SECONDS_MIN, self.orders / POLLS_PER_SECOND)

    def deal(self, stories: Mapping[str, Sequence[str]]) -> list[PlannedOrder]:
        """Return more orders than were asked for: traffic goes on until the last strike."""
        return Plan.deal(replace(self, orders=SPARE * self.orders), stories)

    @property
    def retry(self) -> Sequence[str]:
        """Long enough that no notification is given up while everything fails in turn."""
        return ("0s", "1s", "2s", *("5s",) * 8, *("15s",) * 8)

    @property
    def patience_seconds(self) -> float:
        return 60.0 + 2 * PAUSE_SECONDS + 2 * self.poll_seconds

    @property
    def seconds_max(self) -> float:
        return 300.0 + 4 * self.poll_seconds


def strikes_of(seed: int, seconds: float, faults: Sequence[Fault]) -> list[Strike]:
    """Return the strikes of so many seconds: rounds of all faults, each in an order of the seed.

    Of one fault every target and way has its turn before any comes again.
    """
    draw = random.Random(seed)
    decks = {fault: _deck(_choices(fault), draw) for fault in faults}
    strikes: list[Strike] = []
    at = WARM_SECONDS
    while True:
        rounds = [fault for fault in faults for _ in range(ROUND[fault][0])]
        for fault in draw.sample(rounds, len(rounds)):
            lasts = draw.uniform(*ROUND[fault][1])
            if at + lasts > seconds:
                return strikes
            target, how = next(decks[fault])
            strikes.append(Strike(at, fault, target, how, lasts))
            at += lasts + draw.uniform(*GAP_SECONDS)


def _deck(choices: Sequence[tuple[str, str]], draw: random.Random) -> Iterator[tuple[str, str]]:
    while True:
        yield from draw.sample(choices, len(choices))


def _choices(fault: Fault) -> list[tuple[str, str]]:
    """Return the targets of a fault with the ways in which it strikes them."""
    match fault:
        case Fault.RECEIVER:
            return [(name, "SIGKILL") for name in _names("web")]
        case Fault.WORKER:
            return [(name, "SIGKILL") for name in _names("worker")]
        case Fault.BEAT:
            return [(name, "SIGKILL") for name in _names("beat")]
        case Fault.PAUSE:
            return [(name, "SIGSTOP") for name in _names("worker")]
        case Fault.CLOCK:
            names = [name for verb in KINDS for name in _names(verb)]
            return [(name, how) for name in names for how in ("-10m", "+10m", "jump-1h")]
        case Fault.LINK:
            return [
                (link, toxic)
                for link in LINKS
                for toxic in Toxic
                if toxic not in HTTP_ONLY or link in ("provider", "erp")
            ]
        case Fault.PROVIDER:
            return [("all", how) for how in PROVIDER_ANSWERS]
        case Fault.ERP:
            return [("erp", how) for how in ERP_ANSWERS]
        case Fault.LOCK:
            return [("postgres", table) for table in ("events", "due", "requests", "deliveries")]
        case Fault.REDIS | Fault.POSTGRES:
            return [("servers", "SIGKILL")]
        case Fault.RESTART | Fault.FLUSH | Fault.DISK | Fault.EXHAUST:
            return [("servers", str(fault))]


def _names(verb: str) -> list[str]:
    return [f"{verb}-{number}" for number in range(KINDS[verb])]
