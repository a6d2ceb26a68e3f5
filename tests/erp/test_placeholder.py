"""What placeholders can do with what came from outside, which is next to nothing."""

import json
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.erp.placeholder import (
    Missing,
    Unfit,
    filled,
    filled_path,
    filled_texts,
    number_in,
    parts_in,
    paths_in,
    value_at,
)

VALUES: dict[str, object] = {
    "data": {"reference": "INV/1", "amount": None, "count": 3, "final": True},
    "find": {"result": [{"id": 7}]},
}


def test_a_placeholder_in_a_body_becomes_the_value_itself() -> None:
    template = {"a": ["{data.count}", "{data.final}", "{data.amount}"], "b": "{find.result.0}"}

    assert filled(template, VALUES) == {"a": [3, True, None], "b": {"id": 7}}


@settings(max_examples=40)
@given(st.text())
def test_whatever_a_value_holds_it_stays_one_json_text(text: str) -> None:
    body = json.dumps(filled({"ref": "{data.reference}"}, {"data": {"reference": text}}))

    assert json.loads(body) == {"ref": text}


@settings(max_examples=40)
@given(st.text())
def test_whatever_a_value_holds_it_stays_in_its_segment(text: str) -> None:
    try:
        path = filled_path("/orders/{data.reference}/pay", {"data": {"reference": text}})
    except Unfit:
        assert text in ("", ".", "..") or not text.isprintable()
        return
    url = urlsplit(f"https://erp.example{path}")
    before, segment, after = url.path.removeprefix("/").split("/")

    assert (url.netloc, url.query, url.fragment) == ("erp.example", "", "")
    assert (before, unquote(segment), after) == ("orders", text, "pay")


@pytest.mark.parametrize("value", ["", ".", "..", None, True, {"a": 1}, ["a"], "a\r\nb", "\x00"])
def test_what_does_not_fit_into_a_path_is_refused(value: Any) -> None:
    with pytest.raises(Unfit):
        filled_path("/orders/{data.reference}", {"data": {"reference": value}})


def test_a_header_never_gets_a_second_line() -> None:
    values = {"data": {"reference": "a\r\nx-admin: 1"}}

    with pytest.raises(Unfit):
        filled_texts({"x-reference": "{data.reference}"}, values)


@pytest.mark.parametrize(
    "path", ["data.none", "find.result.1", "find.result.-1", "find.result.id", "data.count.real"]
)
def test_a_placeholder_leads_through_tables_and_lists_and_nowhere_else(path: str) -> None:
    with pytest.raises(Missing):
        value_at(path, VALUES)


def test_what_a_value_holds_is_never_filled_in_again() -> None:
    values = {"data": {"reference": "{password}"}, "password": "secret"}

    assert filled("{data.reference}", values) == "{password}"
    assert filled_path("/{data.reference}", values) == "/%7Bpassword%7D"


@pytest.mark.parametrize("template", ["{", "}", "{}", "{{a}}", "{a b}", "{a.}", "{A}", "{a!r}"])
def test_any_other_brace_is_refused_when_a_recipe_is_read(template: str) -> None:
    for found in (paths_in, parts_in):
        with pytest.raises(ValueError, match=r"[{}]"):
            list(found(template))


def test_only_a_path_may_hold_a_placeholder_among_other_text() -> None:
    assert list(parts_in("/a/{data.x}-{data.y}")) == ["data.x", "data.y"]
    with pytest.raises(ValueError, match="INV"):
        list(paths_in("INV-{data.x}"))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("40.00", "40.0", True),
        ("40.00", 40, True),
        ("40.00", "40.01", False),
        ("1e2", "1e2", None),
        (True, 1, None),
        (None, None, None),
    ],
)
def test_numbers_are_compared_exactly(one: object, other: object, same: bool | None) -> None:
    first, second = number_in(one), number_in(other)

    assert (first == second if first is not None else None) is same
