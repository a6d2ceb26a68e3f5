"""What is fuzzed: a function of bytes that raises where a property does not hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

SEPARATOR = b"\n----\n"


@dataclass(frozen=True)
class Target:
    """run takes any bytes and raises nothing; seeds are ordinary ones, to begin from.

    words are such as mean something there, for what is no JSON. is_slow says that a run takes
    milliseconds, so that the suite takes few.
    """

    run: Callable[[bytes], None]
    seeds: Sequence[bytes]
    words: Sequence[bytes] = ()
    is_slow: bool = False


def parts_of(data: bytes) -> list[bytes]:
    """Return the parts that one input holds, at least one."""
    return data.split(SEPARATOR)


def joined(*parts: bytes) -> bytes:
    return SEPARATOR.join(parts)
