"""One target under atheris: `python -m tests.fuzz.drive TARGET SECONDS FOLDER`.

Ends by itself after so many seconds, with 77 at the first input that makes the target raise. What
it found new goes on being kept in FOLDER, and an input that makes it raise in FOLDER/finding-*.
"""

import random
import sys
from pathlib import Path

import atheris

INPUT_BYTES_MAX = 16 * 1024
INPUT_SECONDS_MAX = 20  # an input that takes longer is a finding
MEMORY_MB_MAX = 2_048
STRUCTURED_SHARE = 0.5


def main() -> None:
    name, seconds, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    with atheris.instrument_imports(include=["service"]):
        from tests.fuzz.mutate import mutated
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = {
        "max_total_time": seconds,
        "max_len": INPUT_BYTES_MAX,
        "timeout": INPUT_SECONDS_MAX,
        "rss_limit_mb": MEMORY_MB_MAX,
        "artifact_prefix": f"{folder}/finding-",
        "print_final_stats": 1,
    }
    arguments = [f"-{option}={value}" for option, value in options.items()]

    def mutate(data: bytes, bytes_max: int, number: int) -> bytes:
        """Change a value or a word in every other input, and bytes in the rest."""
        chance = random.Random(number)
        changed = mutated(target, data, chance) if chance.random() < STRUCTURED_SHARE else None
        if changed is None or len(changed) > bytes_max:
            return bytes(atheris.Mutate(data, bytes_max))
        return changed

    atheris.Setup([sys.argv[0], *arguments, str(corpus)], target.run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
