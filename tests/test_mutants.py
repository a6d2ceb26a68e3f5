"""The list of mutants fits the tree, and their runner can tell red from broken."""

import ast
from dataclasses import replace
from functools import cache

import pytest

from tests.mutants.mutant import PROMISED, REPOSITORY, Mutant, mutants
from tests.mutants.trial import Ending, not_green, not_red

EVERY = pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)

MUTANT = Mutant("one", "danger", "service/x.py", "old", "new", ("tests/test_x.py::test_y",))
RED = Ending("tests/test_x.py::test_y", "call", "failed", "AssertionError", "says", "tests")
GREEN = Ending("tests/test_x.py::test_y", "call", "passed")


@cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


@EVERY
def test_a_mutant_still_applies_and_is_no_mere_syntax_error(mutant: Mutant) -> None:
    source = (REPOSITORY / mutant.file).read_text(encoding="utf-8")

    planted = mutant.planted_in(source)

    assert planted is not None, f"{mutant.file} does not hold the piece exactly once"
    assert planted != source
    if mutant.file.endswith(".py"):
        ast.parse(planted)


@EVERY
def test_the_tests_that_a_mutant_names_exist(mutant: Mutant) -> None:
    named = [name.split("::") for name in mutant.red]

    assert named
    assert [name for file, name in named if name not in functions_of(file)] == []


def test_no_two_mutants_share_a_name_or_a_defect() -> None:
    everyone = mutants()

    assert len({mutant.name for mutant in everyone}) == len(everyone)
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in everyone}) == len(everyone)


def test_the_fourteen_promised_mutants_are_there() -> None:
    assert len(mutants(PROMISED)) == 14


@pytest.mark.parametrize(
    ("source", "planted"), [("an old one", "an new one"), ("none", None), ("old and old", None)]
)
def test_a_piece_that_is_not_there_exactly_once_has_drifted(
    source: str, planted: str | None
) -> None:
    assert MUTANT.planted_in(source) == planted


RAISED_NOTHING = replace(RED, error="Failed", says="Failed: DID NOT RAISE")
HUNG = replace(RED, error="Failed", says="Failed: Timeout (>120.0s)")


@pytest.mark.parametrize(
    ("seen", "is_killed"),
    [
        ([RED], True),
        ([GREEN, RED], True),
        ([RAISED_NOTHING], True),
        ([], False),
        ([GREEN], False),
        ([HUNG], False),
        ([replace(RED, test="tests/test_x.py::test_z")], False),
        ([replace(RED, when="setup")], False),
        ([replace(RED, error="NameError")], False),
        ([replace(RED, where="service")], False),
        ([RED, replace(RED, when="teardown")], False),
    ],
)
def test_only_a_tests_own_judgement_kills(seen: list[Ending], is_killed: bool) -> None:
    assert (not_red(MUTANT, seen) == []) is is_killed


def test_an_exception_kills_only_where_the_mutant_says_so() -> None:
    refused = replace(RED, error="UniqueViolation", where="service")

    assert not_red(MUTANT, [refused])
    assert not_red(replace(MUTANT, fails_by="UniqueViolation"), [refused]) == []


def test_a_test_that_fails_or_does_not_run_is_not_green() -> None:
    assert not_green(MUTANT.red, [GREEN]) == []
    assert not_green(MUTANT.red, [GREEN, RED]) == ["tests/test_x.py::test_y ended by says in tests"]
    assert not_green(MUTANT.red, []) == ["tests/test_x.py::test_y did not run"]
