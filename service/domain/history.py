"""History that can be checked: each record holds the hash of the one before it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Final

# What a request's transition is chained with, times in milliseconds and hashes in hex.
CHAINED_OF_REQUEST: Final = (
    "subject_id",
    "sequence",
    "type",
    "before",
    "after",
    "correction",
    "observed_by",
    "answer_sha256",
    "lease_no",
    "version",
    "occurred_at",
    "recorded_at",
)

# What an order's is chained with: it rests on its requests and on no read of its own.
CHAINED_OF_ORDER: Final = (
    "subject_id",
    "sequence",
    "type",
    "before",
    "after",
    "observed_by",
    "recorded_at",
)


def chain(previous: bytes, content: Mapping[str, object]) -> bytes:
    """Return the hash that links content to the record before it: SHA-256, 32 bytes.

    previous is empty for the first record.
    """
    return hashlib.sha256(previous + canonical(content)).digest()


def canonical(content: Mapping[str, object]) -> bytes:
    """Return content, JSON values only, in the one form that anyone can compute again.

    Sorted keys, no spaces, UTF-8: what `jq -cS` writes.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()
