"""Trace context: what of a traceparent is handed on. Source: W3C Trace Context, section 3.2."""

import pytest

from service.domain.trace import traceparent_from, traceparent_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
STEP = "00f067aa0ba902b7"


@pytest.mark.parametrize("flags", ["00", "01", "ff"])
def test_a_valid_traceparent_is_handed_on_as_it_is(flags: str) -> None:
    text = f"00-{TRACE}-{STEP}-{flags}"

    assert traceparent_of(text) == text


@pytest.mark.parametrize("more", ["", "-what-comes-later"])
def test_a_later_version_is_read_as_the_first(more: str) -> None:
    assert traceparent_of(f"cc-{TRACE}-{STEP}-01{more}") == f"00-{TRACE}-{STEP}-01"


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"ff-{TRACE}-{STEP}-01",
        f"00-{'0' * 32}-{STEP}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{STEP}-01",
        f"00-{TRACE}-{STEP}-01-more",
        f"00-{TRACE}-{STEP}-1",
        f"00-{TRACE[1:]}-{STEP}-01",
        f"cc-{TRACE}-{STEP}-01more",
        f"00-{TRACE}-{STEP}-01\n",
        f"00-{TRACE}-{STEP}-0\u0661",
    ],
)
def test_what_is_no_traceparent_is_dropped(text: str) -> None:
    assert traceparent_of(text) is None


def test_a_new_traceparent_is_valid_and_asks_to_be_recorded() -> None:
    made = traceparent_from(bytes(range(24)))

    assert traceparent_of(made) == made
    assert made.endswith("-01")
