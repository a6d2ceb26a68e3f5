"""Whether every webhook that was answered 2xx is in the database."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg

from tests.scale.front import Accepted


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database holds: rows per account and body, and the providers' own event ids."""

    rows: Mapping[tuple[str, bytes], int]
    event_ids: frozenset[tuple[str, str]]


def read_stored(database_url: str) -> Stored:
    """Return what webhooks left behind."""
    with psycopg.connect(database_url) as connection:
        counted = connection.execute(
            "select account, body_sha256, count(*) from events group by 1, 2"
        ).fetchall()
        named = connection.execute(
            "select account, event_id from events where event_id is not null"
        ).fetchall()
    rows = {(account, bytes(sha256)): number for account, sha256, number in counted}
    return Stored(rows, frozenset((account, event_id) for account, event_id in named))


def unstored(accepted: Iterable[Accepted], stored: Stored) -> int:
    """Return how many webhooks were answered 2xx and are not there.

    A provider that numbers its events has each of them stored once, whatever call brought it; of
    any other the same bytes twice are two rows.
    """
    missing = 0
    calls: Counter[tuple[str, bytes]] = Counter()
    for webhook in accepted:
        ids = event_ids_in(webhook.body)
        if ids:
            missing += any((webhook.account, each) not in stored.event_ids for each in ids)
        else:
            calls[webhook.account, hashlib.sha256(webhook.body).digest()] += 1
    return missing + sum(max(0, number - stored.rows.get(key, 0)) for key, number in calls.items())


def event_ids_in(body: bytes) -> list[str]:
    """Return the ids of the events in a GoCardless call; none for any other provider's."""
    call = json.loads(body)
    return [event["id"] for event in call.get("events", ())]
