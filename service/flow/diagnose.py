"""Judges how the service stands: each thing looked at becomes a finding with what to do about it.

Pure: who asks brings what was read. A finding that is wrong because somebody could not be reached
says so, because then the rest of what is there to know is missing, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from service.flow.findings import SKEW_SECONDS_MAX
from service.providers import Finding
from service.storage.database import WEAK
from service.storage.views.standing import Server, Standing, Waiting

# Work that has been due for longer than this is late: beat rings twice a second and a read takes
# seconds, so that only workers that are away, or too few, explain it.
LATE_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A finding about a part of the service; away is whether that part could not be reached."""

    part: str
    finding: Finding
    away: bool = False

    @property
    def is_wrong(self) -> bool:
        return self.finding.ok is False


def good(part: str, check: str, detail: str) -> Diagnosis:
    return Diagnosis(part, Finding(check, True, detail))


def wrong(part: str, check: str, detail: str, remedy: str) -> Diagnosis:
    return Diagnosis(part, Finding(check, ok=False, detail=detail, remedy=remedy))


def unknown(part: str, check: str, detail: str, remedy: str) -> Diagnosis:
    return Diagnosis(part, Finding(check, None, detail, remedy))


def away(part: str, detail: str, remedy: str) -> Diagnosis:
    """Say that a part could not be reached."""
    finding = Finding("reachable", ok=False, detail=detail, remedy=remedy)
    return Diagnosis(part, finding, away=True)


def judge_server(server: Server, *, now: datetime) -> list[Diagnosis]:
    """Judge what PostgreSQL says of itself; now is our clock at that moment."""
    found = [good("database", "reachable", f"PostgreSQL {server.version}")]
    for name, value in server.settings.items():
        if value in WEAK:
            found.append(
                wrong(
                    "database",
                    name,
                    f"{value}: what was answered to a provider could be lost in a crash",
                    f"set {name} = on in postgresql.conf, or for the role or database",
                )
            )
        else:
            found.append(good("database", name, value))
    return [*found, _clock((server.now - now).total_seconds())]


def _clock(ahead_seconds: float) -> Diagnosis:
    if abs(ahead_seconds) <= SKEW_SECONDS_MAX:
        return good("database", "clock", f"within {SKEW_SECONDS_MAX:.0f} s of ours")
    way = "behind" if ahead_seconds > 0 else "ahead of"
    return wrong(
        "database",
        "clock",
        f"ours is {abs(ahead_seconds):.0f} s {way} the database's",
        "set the clocks of both machines by NTP: signatures carry our time",
    )


def judge_migrations(missing: Sequence[str]) -> Diagnosis:
    if missing:
        return wrong(
            "database", "migrations", f"lacks {', '.join(missing)}", "run `settled db upgrade`"
        )
    return good("database", "migrations", "all applied")


def judge_standing(standing: Standing) -> list[Diagnosis]:
    """Judge what runs, what waits, and what waits for a person."""
    connected = standing.connected
    return [
        _running("workers", standing.workers, "worker"),
        _running("beat", connected["beat"], "beat"),
        _running("web", connected["web"], "web"),
        _waiting("reads", standing.due, "settled accounts list"),
        _waiting("deliveries", standing.deliveries, "settled endpoints list"),
        _attention("requests", standing.requests_attention),
        _attention("orders", standing.orders_attention),
        _dead(standing),
        _parked(standing.parked),
        _partitions(standing.strayed),
    ]


def judge_lanes(endpoints: Iterable[Mapping[str, Any]]) -> list[Diagnosis]:
    """Judge the objects of GET /v1/endpoints; a removed one only while something waits for it."""
    return [
        _lane(endpoint) for endpoint in endpoints if endpoint["configured"] or endpoint["backlog"]
    ]


def judge_accounts(accounts: Iterable[Mapping[str, Any]]) -> list[Diagnosis]:
    """Judge the states in the objects of GET /v1/accounts."""
    return [_account(account) for account in accounts]


def judge_polling(accounts: Iterable[Mapping[str, Any]]) -> list[Diagnosis]:
    """Judge whether the budgets in the objects of GET /v1/accounts carry what is planned."""
    return [
        wrong(
            f"account {account['name']}",
            "polling",
            f"intervals are {account['stretched']} times as long as wished",
            "raise `limit` as far as the provider allows, or lengthen [polling]",
        )
        if account["stretched"] > 1
        else good(f"account {account['name']}", "polling", "as wished")
        for account in accounts
    ]


def _lane(endpoint: Mapping[str, Any]) -> Diagnosis:
    name, state = endpoint["name"], endpoint["state"]
    part, detail = f"endpoint {name}", f"{state}, {endpoint['backlog']} wait"
    if not endpoint["configured"]:
        return wrong(part, "lane", f"removed, {endpoint['backlog']} wait", "configure it again")
    if state in ("open", "draining"):
        return good(part, "lane", detail)
    why = f" ({endpoint['reason']})" if endpoint["reason"] else ""
    remedy = f"`settled endpoints test {name}`, then `settled endpoints resume {name}`"
    return wrong(part, "lane", f"{detail}{why}", remedy)


def _account(account: Mapping[str, Any]) -> Diagnosis:
    name, state = account["name"], account["state"]
    if state == "ok":
        return good(f"account {name}", "state", "ok")
    why = f" ({account['reason']})" if account["reason"] else ""
    remedy = f"`settled accounts check {name}` says what to mend"
    return wrong(f"account {name}", "state", f"{state}{why}", remedy)


def _running(check: str, count: int, verb: str) -> Diagnosis:
    if count:
        return good("processes", check, f"{count} alive" if check == "workers" else "connected")
    return wrong("processes", check, "none", f"start `settled up`, or `settled {verb}`")


def _waiting(check: str, waiting: Waiting, look: str) -> Diagnosis:
    detail = f"{waiting.count} wait"
    if waiting.count:
        detail = f"{detail}, the oldest for {waiting.oldest_seconds:.0f} s"
    if waiting.oldest_seconds <= LATE_SECONDS:
        return good("backlog", check, detail)
    return wrong("backlog", check, detail, f"see `{look}`, and whether enough workers run")


def _attention(subjects: str, counts: Mapping[str, int]) -> Diagnosis:
    if not counts:
        return good("attention", subjects, "none")
    detail = ", ".join(f"{count} {code}" for code, count in sorted(counts.items()))
    return wrong("attention", subjects, detail, f"`settled {subjects} list --attention` names them")


def _dead(standing: Standing) -> Diagnosis:
    """Judge dead letters: one that a later message has listed is known to the ERP."""
    detail = f"{standing.dead} dead, {standing.dead_untold} of them not told of since"
    if not standing.dead_untold:
        return good("attention", "deliveries", detail if standing.dead else "none")
    remedy = "`settled deliveries list --state dead`, then `settled deliveries resend ID`"
    return wrong("attention", "deliveries", detail, remedy)


def _parked(count: int) -> Diagnosis:
    if not count:
        return good("attention", "parked", "none")
    remedy = "`settled accounts list` and `settled events list --verdict parked` show where"
    return unknown("attention", "parked", f"{count}: kept, and tried again by themselves", remedy)


def _partitions(strayed: Sequence[str]) -> Diagnosis:
    if not strayed:
        return good("database", "partitions", "nothing lies in a default one")
    return wrong(
        "database",
        "partitions",
        f"rows lie in {', '.join(strayed)}",
        "see that a beat runs: it makes partitions ahead; what strayed stays and leaves by its age",
    )
