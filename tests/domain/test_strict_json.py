"""What strict JSON takes, what it refuses, and that nothing else ever comes out."""

import json
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.strict_json import NotStrict, parse

ordinary_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18) + 1, 10**18 - 1)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcé", max_size=4), inner),
    max_leaves=20,
)


@given(ordinary_values, st.booleans())
def test_ordinary_json_reads_as_the_standard_library_reads_it(value: object, escaped: bool) -> None:
    body = json.dumps(value, ensure_ascii=escaped).encode()

    assert parse(body, depth_max=200) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"<html>502</html>",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 1} {}',
        b'{"a": 1}\x00',
        b"01",
        b"+1",
        b"1.",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-16-le"),
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\xc0\x80"',
        b'"a\nb"',
    ],
)
def test_bytes_that_are_not_json_in_utf_8_are_refused(body: bytes) -> None:
    with pytest.raises(NotStrict):
        parse(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 1}',
        b'{"a": 1, "\\u0061": 2}',
        b'[{"b": {"a": 1, "a": 2}}]',
    ],
)
def test_a_name_twice_in_one_object_is_refused(body: bytes) -> None:
    with pytest.raises(NotStrict, match="twice"):
        parse(body)


def test_the_same_name_in_two_objects_is_fine() -> None:
    assert parse(b'[{"a": 1}, {"a": {"a": 2}}]') == [{"a": 1}, {"a": {"a": 2}}]


@pytest.mark.parametrize("body", [b"NaN", b"[Infinity]", b'{"a": -Infinity}'])
def test_numbers_that_json_does_not_have_are_refused(body: bytes) -> None:
    with pytest.raises(NotStrict):
        parse(body)


@pytest.mark.parametrize("text", ["9" * 18, "-" + "9" * 18, "0", "-0"])
def test_integers_of_up_to_18_digits_are_exact(text: str) -> None:
    assert parse(text.encode()) == int(text)


@pytest.mark.parametrize("text", ["1" + "0" * 18, "-1" + "0" * 18, "9" * 6_000])
def test_longer_integers_are_refused(text: str) -> None:
    with pytest.raises(NotStrict):
        parse(text.encode())


def test_other_numbers_become_exact_decimals() -> None:
    assert parse(b"[0.1, 12.50, 1e2]") == [Decimal("0.1"), Decimal("12.50"), Decimal("1e2")]
    assert isinstance(parse(b"1.0"), Decimal)


@pytest.mark.parametrize("text", ["1e400000", "1e-100", "0." + "1" * 19, "9" * 19 + ".0"])
def test_decimals_out_of_bounds_are_refused(text: str) -> None:
    with pytest.raises(NotStrict):
        parse(text.encode())


@pytest.mark.parametrize(
    "body",
    [
        rb'"\ud83d"',
        rb'"\ude00\ud83d"',
        rb'"a\u0000b"',
        rb'{"\u0000": 1}',
        rb'[{"a": ["\udfff"]}]',
    ],
)
def test_strings_that_postgresql_cannot_store_are_refused(body: bytes) -> None:
    with pytest.raises(NotStrict):
        parse(body)


def test_escapes_that_only_look_hostile_are_read() -> None:
    assert parse(rb'["\ud83d\ude00", "\\u0000", "\\ud800"]') == ["😀", r"\u0000", r"\ud800"]


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_nesting_is_allowed_up_to_the_bound_and_refused_above(brackets: str) -> None:
    def nested(depth: int) -> bytes:
        before, after = ("[", "]") if brackets == "[]" else ('{"a":', "}")
        return (before * depth + "1" + after * depth).encode()

    parse(nested(32))
    with pytest.raises(NotStrict, match="deep"):
        parse(nested(33))


def test_brackets_in_strings_and_side_by_side_are_no_nesting() -> None:
    body = json.dumps({"text": '"[{' * 100 + "\\", "rows": [[]] * 100}).encode()

    assert parse(body) == json.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b'"' + b'\\"' * 400_000 + b"[" * 100,
        b"[]" * 400_000,
        b'["' + b"[" * 400_000,
    ],
)
@pytest.mark.timeout(5)
def test_a_hostile_megabyte_is_refused_quickly_and_without_recursion(body: bytes) -> None:
    with pytest.raises(NotStrict):
        parse(body)


def test_a_caller_deep_in_the_stack_gets_no_recursion_error() -> None:
    def descend(frames: int) -> object:
        return descend(frames - 1) if frames else parse(b"[" * 32 + rb'"\u0041"' + b"]" * 32)

    assert descend(sys.getrecursionlimit() // 2) is not None


@given(st.binary(max_size=60) | st.text('[]{}",:\\u0d8eNaI1.-+', max_size=60).map(str.encode))
def test_any_bytes_give_a_value_or_not_strict(body: bytes) -> None:
    try:
        value = parse(body)
    except NotStrict:
        return
    json.dumps(value, default=str, ensure_ascii=False).encode()
