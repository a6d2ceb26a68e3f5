"""Every target on its seeds and on fixed mutations of them; `python -m tests.fuzz` goes further."""

import random
from collections.abc import Iterator

import pytest

from tests.fuzz.mutate import mutated
from tests.fuzz.target import SEPARATOR, Target
from tests.fuzz.targets import TARGETS

MUTATIONS, MUTATIONS_OF_SLOW = 50, 5
ODD = [b"\x00", b"\xff", b"\xed\xa0\x80", b"[" * 2_000, b"9" * 5_000, b"1e400", b"NaN", b'"', b"\n"]
ODD += [b"-1", b"null", b"{}", b"%00", b"..", b"\r\n", b"\\ud800", SEPARATOR]


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_no_bytes_break_a_parser(name: str) -> None:
    target = TARGETS[name]
    assert target.seeds

    for data in (*target.seeds, b"", *mutations(name, target)):
        target.run(data)


def mutations(name: str, target: Target) -> Iterator[bytes]:
    """Yield inputs that are the same in every run."""
    chance, seeds = random.Random(name), list(target.seeds)
    for _ in range(MUTATIONS_OF_SLOW if target.is_slow else MUTATIONS):
        seed = chance.choice(seeds)
        if (changed := mutated(target, seed, chance)) is not None:
            yield changed
        start = chance.randint(0, len(seed))
        end = min(len(seed), start + chance.choice([0, 1, 4, 40]))
        yield seed[:start] + chance.choice(ODD) + seed[end:]
