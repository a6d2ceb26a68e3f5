"""Money is exact, in one currency, and never a float."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.money import EXPONENTS, Money

CURRENCIES = st.sampled_from(sorted(EXPONENTS))
# What fits in 14 digits before the point of a currency without decimals.
MINOR = st.integers(min_value=-(10**14) + 1, max_value=10**14 - 1)

# What Ginger accepts. Source: fact sheet ginger, section 15.
GINGER = """
    AED AFN ANG ARS AUD AWG AZN BBD BDT BGN BHD BMD BND BOB BRL BSD BZD CAD CHF CLP CNY COP CRC
    CZK DKK DOP DZD EGP EUR FJD GBP GTQ GYD HKD HUF IDR ILS INR IQD ISK JMD JOD JPY KES KRW KWD
    KYD KZT LBP LKR MAD MDL MOP MXN MYR NGN NOK NPR NZD OMR PEN PHP PKR PLN PYG QAR RON SAR SCR
    SEK SGD SRD THB TND TRY TWD TZS UAH UGX USD UYU VND XCD XOF ZAR EEK LTL
"""


@given(minor=MINOR, currency=CURRENCIES)
def test_what_is_written_can_be_read_back(minor: int, currency: str) -> None:
    money = Money(minor, currency)

    assert Money.parse(money.decimal, currency) == money


@given(minor=st.integers(), currency=CURRENCIES)
def test_decimal_text_is_the_minor_units_shifted_by_the_exponent(minor: int, currency: str) -> None:
    sign, digits, exponent = Decimal(Money(minor, currency).decimal).as_tuple()

    assert int("".join(map(str, digits))) == abs(minor)
    assert (sign == 1) == (minor < 0)
    assert exponent == -EXPONENTS[currency]


@given(one=MINOR, other=MINOR, currency=CURRENCIES)
def test_what_was_added_can_be_taken_away(one: int, other: int, currency: str) -> None:
    total = Money(one, currency) + Money(other, currency)

    assert total == Money(one + other, currency)
    assert total - Money(other, currency) == Money(one, currency)


@given(text=st.text(max_size=12))
def test_any_text_is_either_read_exactly_or_refused(text: str) -> None:
    try:
        money = Money.parse(text, "EUR")
    except ValueError:
        return
    assert Decimal(money.decimal) == Decimal(text)


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (4000, "EUR", "40.00"),
        (-150, "EUR", "-1.50"),
        (-5, "EUR", "-0.05"),
        (0, "EUR", "0.00"),
        (-1500, "BHD", "-1.500"),
        (1, "CLF", "0.0001"),
        (40, "JPY", "40"),
        (-40, "JPY", "-40"),
    ],
)
def test_decimal_text_has_all_the_decimals_of_its_currency(
    minor: int, currency: str, text: str
) -> None:
    assert Money(minor, currency).decimal == text


def test_json_has_the_four_fields_of_the_contract() -> None:
    assert Money(4000, "EUR").as_json() == {
        "currency": "EUR",
        "minor": 4000,
        "exponent": 2,
        "decimal": "40.00",
    }


@pytest.mark.parametrize(("text", "minor"), [("40", 4000), ("40.1", 4010), ("-0.01", -1)])
def test_fewer_decimals_than_the_currency_has_are_fine(text: str, minor: int) -> None:
    assert Money.parse(text, "EUR") == Money(minor, "EUR")


@pytest.mark.parametrize(
    "text",
    ["40.000", "4e1", "1_000", "1,00", ".5", "5.", "", " 1", "1\n", "+1", "--1", "NaN", "Infinity"],
)
def test_text_that_is_not_plain_digits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no amount in EUR"):
        Money.parse(text, "EUR")


@pytest.mark.parametrize("text", ["٤٠", "4" * 15, "9" * 5000])
def test_foreign_digits_and_endless_ones_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no amount in EUR"):
        Money.parse(text, "EUR")


def test_yen_have_no_decimals() -> None:
    with pytest.raises(ValueError, match="no amount in JPY"):
        Money.parse("40.0", "JPY")


@pytest.mark.parametrize("currency", ["CLF", "UYW", "KWD", "EUR", "JPY"])
def test_the_largest_amount_that_can_be_read_fits_a_bigint(currency: str) -> None:
    decimals = "9" * EXPONENTS[currency]
    largest = Money.parse("9" * 14 + (f".{decimals}" if decimals else ""), currency)

    assert largest.minor < 2**63


@pytest.mark.parametrize("minor", [True, 1.0, "1", None, Decimal(1)])
def test_minor_units_are_an_int_and_nothing_like_it(minor: Any) -> None:
    with pytest.raises(TypeError, match="minor units are an int"):
        Money(minor, "EUR")


@pytest.mark.parametrize("currency", ["eur", "EURO", "", "XXX", "XAU"])
def test_what_is_no_currency_is_refused(currency: str) -> None:
    with pytest.raises(ValueError, match="no currency"):
        Money(1, currency)
    with pytest.raises(ValueError, match="no currency"):
        Money.parse("1", currency)


def test_two_currencies_neither_add_nor_subtract() -> None:
    with pytest.raises(ValueError, match="EUR and USD"):
        Money(1, "EUR") + Money(1, "USD")
    with pytest.raises(ValueError, match="EUR and USD"):
        Money(1, "EUR") - Money(1, "USD")


@pytest.mark.parametrize(
    ("exponent", "codes"),
    [
        (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
        (3, "BHD IQD JOD KWD LYD OMR TND"),
        (4, "CLF UYW"),
    ],
)
def test_unusual_exponents_are_those_of_iso_4217(exponent: int, codes: str) -> None:
    assert {code for code, places in EXPONENTS.items() if places == exponent} == set(codes.split())


def test_all_other_currencies_have_two_decimals() -> None:
    assert set(EXPONENTS.values()) == {0, 2, 3, 4}
    assert all(EXPONENTS[code] == 2 for code in ("EUR", "RSD", "MGA", "HUF", "EEK", "LTL"))


def test_every_currency_that_ginger_accepts_is_known() -> None:
    codes = GINGER.split()

    assert len(codes) == 87
    assert set(codes) <= set(EXPONENTS)
