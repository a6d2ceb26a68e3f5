"""A recipe is checked when the service starts, and a mistake is named by file and key."""

from pathlib import Path

import pytest

from service import settings
from service.erp import recipes_of
from service.errors import Misconfigured

RECIPE = """
about = "bills"
types = ["order.*"]
authenticate = "bearer"
parameters = ["company"]
wanted = [{ statuses = ["paid"], book_at = "paid", values = { state = "closed" } }]
[[step]]
name = "find"
path = "/{parameters.company}/bills"
body = { ref = "{data.reference}" }
expect = [{ value = "{find.state}", equals = "{wanted.state}" }]
"""
ENDPOINT = """
[[endpoint]]
name = "erp"
kind = "recipe"
url = "https://erp.example.com"
recipe = "own.toml"
book_at = "paid"
parameters = { company = "acme" }
token = "t0ken"
"""


def check(folder: Path, *, recipe: str = RECIPE, endpoint: str = ENDPOINT) -> None:
    (folder / "own.toml").write_text(recipe)
    file = folder / "settled.toml"
    file.write_text(endpoint)
    recipes_of(settings.load(file, {}))


def complaint(folder: Path, **files: str) -> str:
    with pytest.raises(Misconfigured) as error:
        check(folder, **files)
    return str(error.value).removeprefix(f"{folder}/")


def test_a_recipe_beside_the_configuration_is_found(tmp_path: Path) -> None:
    check(tmp_path)


def test_the_recipe_for_tryton_ships_with_the_package(tmp_path: Path) -> None:
    built_in = (
        ENDPOINT.replace("own.toml", "tryton-8")
        .replace("company", "database")
        .replace('token = "t0ken"', 'user = "settled"\npassword = "x"')
    )

    check(tmp_path, endpoint=built_in)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"own.toml"', '"odoo"', "endpoint[0].recipe: expected one of tryton-8, or the path of"),
        ('"own.toml"', '"none.toml"', "endpoint[0].recipe: expected a readable recipe"),
        ('company = "acme"', "", "endpoint[0].parameters: expected company, which the recipe"),
        ('company = "acme"', 'company = "a", compny = "b"', "endpoint[0].parameters.compny: unk"),
        ('token = "t0ken"', "", "endpoint[0].token: expected token, which the recipe asks for"),
        ('"t0ken"', '"t\\nken"', "endpoint[0].token: expected printable ASCII"),
        (".com", ".com/a?b=c", "endpoint[0].url: expected a URL without a query"),
        ('book_at = "paid"', "", 'endpoint[0].book_at: expected "paid" or "settled"'),
    ],
)
def test_an_endpoint_gives_what_its_recipe_asks_for(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert complaint(tmp_path, endpoint=ENDPOINT.replace(old, new)).startswith(
        f"settled.toml: {message}"
    )


STEP = RECIPE[RECIPE.index("[[step]]") :]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("about", "abuot", 'abuot: unknown key, did you mean "about"?'),
        (STEP, "step = []", "step: expected 1 to 4 steps"),
        (STEP, "".join(STEP.replace("find", f"f{n}") for n in range(5)), "step: expected 1 to 4"),
        (STEP, STEP + STEP, "step[1].name: expected a name that is used once"),
        ('"find"', '"data"', "step[0].name: expected a name of small letters"),
        ('"/{parameters.company}/bills"', '"bills"', "step[0].path: expected a path such as"),
        ("company}/bills", "company}/bills?a", "step[0].path: expected a path such as"),
        ("company}/bills", "company}/bills\\u0000", "step[0].path: expected a path such as"),
        ("{parameters.company}", "{parameters.none}", "step[0]: expected one of its own param"),
        ("{parameters.company}", "{token}", "step[0]: expected placeholders of"),
        ("{data.reference}", "{later.id}", "step[0]: expected placeholders of"),
        ("{data.reference}", "{% if x %}", "step[0]: expected braces around a placeholder"),
        ("{data.reference}", "INV-{data.reference}", "step[0]: expected braces around a placeh"),
        ('equals = "{wanted.state}"', 'equals = "{token}"', "step[0]: expected placeholders of"),
        ('equals = "{wanted.state}"', "exists = true, equals = 1", "step[0].expect[0]: expected"),
        ('equals = "{wanted.state}"', "code = 'x'", "step[0].expect[0]: expected exactly one of"),
        ("{find.state}", "find", "step[0].expect[0].value: expected a placeholder such as"),
        ("body =", 'headers = { "a b" = "c" }\nbody =', "step[0].headers: expected names and"),
        ("body =", 'headers = { a = "\u00e9" }\nbody =', "step[0].headers: expected names and"),
        ('"bearer"', '"header"', "header: expected header"),
        ('"bearer"', '"session"', "authenticate: expected one of"),
        ("values = { state", "values = { stat", "step[0]: expected one of its own wanted"),
        ('"closed"', '"{find.state}"', "wanted[0].values: expected placeholders of"),
        ('["paid"]', '["payed"]', "wanted[0].statuses: expected one of accepted, "),
        ("[[step]]", "[[step", "expected TOML"),
    ],
)
def test_a_mistake_in_a_recipe_is_named_by_its_file_and_key(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert complaint(tmp_path, recipe=RECIPE.replace(old, new)).startswith(f"own.toml: {message}")
