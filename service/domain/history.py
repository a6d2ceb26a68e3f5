"""History that can be checked: each record holds the hash of the one before it."""

import hashlib
import json
from collections.abc import Mapping


def chain(previous: bytes, content: Mapping[str, object]) -> bytes:
    """Return the hash that links content to the record before it: SHA-256, 32 bytes.

    content holds JSON values only and is written with sorted keys and no spaces, so that
    anyone can compute the same bytes again. previous is empty for the first record.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(previous + text.encode()).digest()
