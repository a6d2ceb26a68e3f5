"""What of a body may be shown: ids, statuses, amounts, currencies, times, and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.redaction import BYTES_MAX, CALLS_MAX, LINES_MAX, MARK, redact, redact_answer

RECORDED = sorted((Path(__file__).parents[1] / "providers" / "recorded").glob("*/*.json"))

# Fields of the recordings that tell who somebody is or what they wrote, as far as a test can list
# them: the code under test lists what is shown instead.
PERSONAL = {
    "name", "display_name", "given_name", "family_name", "consumer_name", "creditor_name",
    "creditor_account_holder_name", "iban", "bban", "consumer_iban", "creditor_iban",
    "merchantIBAN", "bic", "email", "phone_number", "address_line1", "city", "postal_code",
    "description", "message", "reason", "reference", "merchant_reference", "token", "secret",
    "session_token", "access_token", "client_public_key", "permitted_ips", "user_agent",
    "truncated_pan", "public_nick_name", "payment_url", "erp_document", "kunde",
}  # fmt: skip


def personal_in(value: object, name: str = "") -> Iterator[str]:
    match value:
        case dict():
            for key, item in value.items():
                yield from personal_in(item, key)
        case list():
            for item in value:
                yield from personal_in(item, name)
        case str() if name in PERSONAL and len(value) > 3:
            yield value


def shown(**fields: object) -> str:
    return redact(json.dumps(fields).encode()).text


def test_what_identifies_nobody_is_shown_with_the_names_of_all_fields() -> None:
    body = {
        "id": "ord-77", "status": "completed", "amount": 4000, "currency": "EUR",
        "created": "2024-05-14T09:12:03.118204+00:00", "description": "for J. de Vries",
        "customer": {"email": "jan@example.test", "age": 41, "is_vip": True, "phone": None},
    }  # fmt: skip

    assert redact(json.dumps(body).encode()).text.splitlines() == [
        "{",
        '  "id": "ord-77"',
        '  "status": "completed"',
        '  "amount": 4000',
        '  "currency": "EUR"',
        '  "created": "2024-05-14T09:12:03.118204+00:00"',
        '  "description": …',
        '  "customer": {',
        '    "email": …',
        '    "age": …',
        '    "is_vip": …',
        '    "phone": null',
        "  }",
        "}",
    ]


@pytest.mark.parametrize("recording", RECORDED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_personal_of_any_recording_is_shown(recording: Path) -> None:
    body = recording.read_bytes()

    text = redact(body).text

    assert text
    assert not [value for value in personal_in(json.loads(body)) if f'"{value}"' in text]


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "Jan de Vries"}, {"id": "NL91ABNA0417164300"}, {"status": "<script>alert(1)"},
        {"status": "paid by J. de Vries"}, {"amount": "forty"}, {"currency": "Jan"},
        {"created": "born 1980-01-01"}, {"value": "0612345678"}, {"id": "jan@example.test"},
        {"unheard_of": "2024-05-14"}, {"status": True}, {"id": "Jan"},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_of_another_shape_or_under_another_name_is_a_mark(
    fields: dict[str, object],
) -> None:
    ((name, value),) = fields.items()

    assert shown(**fields) == f'{{\n  "{name}": {MARK}\n}}'
    assert str(value) not in shown(**fields)


def test_the_value_of_an_amount_is_shown_and_that_of_an_alias_is_not() -> None:
    inside = {"value": "12.50", "currency": "EUR"}

    assert '"value": "12.50"' in shown(amount_inquired=inside)
    assert '"value": …' in shown(alias=inside)


@pytest.mark.parametrize("name", ["NL91ABNA0417164300", "Jan de Vries", "<b>", "0612345678", ""])
def test_a_name_of_a_field_that_no_program_would_choose_is_a_mark(name: str) -> None:
    assert shown(**{name: 1}) == "{\n  …: …\n}".replace("…:", '"…":')


def test_what_a_merchant_fills_freely_is_one_mark() -> None:
    assert shown(metadata={"Jan": {"id": "id-1"}}, extra=["id-2"]) == (
        '{\n  "metadata": …\n  "extra": …\n}'
    )


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "empty"),
        (b"{not json", "not JSON"),
        (b"<html>J. de Vries</html>", "not JSON"),
        (b'{"id": "\xff\xfe"}', "not UTF-8"),
        (b"[" * 5000 + b"]" * 5000, "nested too deeply"),
        (b'{"id": 1, "id": 2}', "a name stands twice in one object"),
        (b'{"amount": ' + b"9" * 5000 + b"}", "an integer of more than 18 digits"),
        (b" " * (BYTES_MAX + 1), f"of more than {BYTES_MAX} bytes"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_of_what_is_not_json_nothing_is_shown_but_why(body: bytes, problem: str) -> None:
    redacted = redact(body)

    assert (redacted.text, redacted.problem) == ("", problem)


def test_a_huge_body_ends_at_a_bound() -> None:
    lines = redact(json.dumps([{"id": f"id-{number}"} for number in range(20_000)]).encode()).text

    assert lines.count("\n") == LINES_MAX
    assert lines.endswith(f"{MARK} more than {LINES_MAX} lines")


def test_an_answer_is_shown_by_call_without_what_was_asked_for() -> None:
    first, second = b'{"id": "link-1"}', b"\n\nGET / 200 3\n"
    evidence = b"GET /v1/links/link-1?name=Jan 200 16\n" + first + b"\n"
    evidence += b"GET /v1/NL91ABNA0417164300/J%20de%20Vries 404 14\n" + second + b"\n"

    one, two = redact_answer(evidence)

    assert (one.about, one.text) == ("GET /v1/links/link-1?… 200", '{\n  "id": "link-1"\n}')
    assert (two.about, two.problem) == ("GET /v1/…/… 404", "not JSON")


@pytest.mark.parametrize(
    "evidence", [b"{}", b"GET /a 200 2\n{}\nJan de Vries", b"GET /a 200 99999999999\n{}"]
)
def test_an_answer_in_another_form_shows_nothing_of_the_rest(evidence: bytes) -> None:
    pieces = redact_answer(evidence)

    assert pieces[-1].problem == "not in the form in which answers are kept"
    assert "Jan" not in str(pieces)


def test_the_answers_of_a_read_end_at_a_bound() -> None:
    assert len(redact_answer(b"GET /a 200 2\n{}\n" * (CALLS_MAX + 5))) == CALLS_MAX + 1
