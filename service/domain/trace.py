"""The W3C trace context that a webhook may bring along and the ERP is handed.

Source: www.w3.org/TR/trace-context, section 3.2.
"""

import re

_PARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}"
    r"(?P<more>-.*)?",
    re.ASCII,
)


def traceparent_of(text: str) -> str | None:
    """Return a traceparent header that says something, as we may hand it on; else None.

    A version that we do not know is read as version 00, which its first four fields are bound to
    be. All zeros, version ff and capital letters are invalid.
    """
    match = _PARENT.fullmatch(text)
    if match is None or match["version"] == "ff":
        return None
    if not int(match["trace"], 16) or not int(match["parent"], 16):
        return None
    if match["version"] == "00":
        return None if match["more"] else text
    return f"00{text[2:55]}"


def traceparent_from(random: bytes) -> str:
    """Return a new traceparent from 24 random bytes, of a trace that receivers should record.

    Its flag says so because most tracers record nothing below a parent that is not recorded.
    """
    assert len(random) == 24, "16 bytes name a trace, 8 its first step"
    assert any(random[:16]), "a trace has a name"
    return f"00-{random[:16].hex()}-{random[16:].hex()}-01"
