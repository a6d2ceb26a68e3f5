"""What the soak calls growth: planted leaks are found, and what is made once is none."""

from collections.abc import Sequence

import pytest

from tests.bench.processes import Holding
from tests.bench.soak import Process, grown

SAMPLES = 200
MB = 1_000_000
WEBHOOKS_BETWEEN = 500  # at 170 a second and a sample every 3 s


def process(memory: Sequence[float], files: Sequence[int] = ()) -> Process:
    opened = files or [40] * len(memory)
    return Process(
        "worker 1",
        [Holding(int(of), int(of), count) for of, count in zip(memory, opened, strict=True)],
    )


def wavering(base: float) -> list[float]:
    """Memory that moves up and down by 3 %, as allocators have it."""
    return [base * (1 + 0.03 * ((number * 7) % 5 - 2) / 2) for number in range(SAMPLES)]


def test_memory_that_wavers_is_flat() -> None:
    found = process(wavering(80 * MB))

    assert found.memory.ratio == pytest.approx(1.0, abs=0.01)
    assert found.faults() == []


def test_what_is_made_once_at_the_beginning_is_no_growth() -> None:
    memory = [40 * MB if number < SAMPLES // 10 else 80 * MB for number in range(SAMPLES)]

    assert process(memory).faults() == []


@pytest.mark.parametrize("bytes_each", [200, 2_000])
def test_a_leak_of_a_few_bytes_with_each_webhook_is_found(bytes_each: int) -> None:
    leak = bytes_each * WEBHOOKS_BETWEEN
    memory = [of + number * leak for number, of in enumerate(wavering(80 * MB))]

    (fault,) = process(memory).faults()

    assert fault.startswith("worker 1 holds")


def test_a_leak_that_begins_late_is_found() -> None:
    memory = [80 * MB + max(0, number - SAMPLES // 2) * 0.3 * MB for number in range(SAMPLES)]

    assert len(process(memory).faults()) == 1


def test_a_file_left_open_now_and_then_is_found() -> None:
    files = [40 + number // 20 for number in range(SAMPLES)]

    assert process(wavering(80 * MB), files).faults() == ["worker 1 has 48 files open after 42"]


def test_a_spike_in_between_is_no_growth() -> None:
    memory = wavering(80 * MB)
    memory[SAMPLES // 2] = memory[-1] = 300 * MB

    assert process(memory).faults() == []


def test_growth_compares_the_second_fifth_with_the_last() -> None:
    found = grown([1, 1, 2, 2, 9, 9, 9, 9, 3, 3])

    assert (found.before, found.after, found.ratio) == (2, 3, 1.5)
