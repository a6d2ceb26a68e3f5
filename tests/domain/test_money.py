"""Money is exact, in one currency, and never a float."""

import ast
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import providers
from service.domain.money import EXPONENTS, Money

CURRENCIES = st.sampled_from(sorted(EXPONENTS))
# What fits in 14 digits before the point of a currency without decimals.
MINOR = st.integers(min_value=-(10**14) + 1, max_value=10**14 - 1)

# Every code of list one with its minor units, "-" where it has none, as published on 2026-01-01.
ISO_4217 = """
    AED 2  AFN 2  ALL 2  AMD 2  AOA 2  ARS 2  AUD 2  AWG 2  AZN 2  BAM 2  BBD 2  BDT 2
    BHD 3  BIF 0  BMD 2  BND 2  BOB 2  BOV 2  BRL 2  BSD 2  BTN 2  BWP 2  BYN 2  BZD 2
    CAD 2  CDF 2  CHE 2  CHF 2  CHW 2  CLF 4  CLP 0  CNY 2  COP 2  COU 2  CRC 2  CUP 2
    CVE 2  CZK 2  DJF 0  DKK 2  DOP 2  DZD 2  EGP 2  ERN 2  ETB 2  EUR 2  FJD 2  FKP 2
    GBP 2  GEL 2  GHS 2  GIP 2  GMD 2  GNF 0  GTQ 2  GYD 2  HKD 2  HNL 2  HTG 2  HUF 2
    IDR 2  ILS 2  INR 2  IQD 3  IRR 2  ISK 0  JMD 2  JOD 3  JPY 0  KES 2  KGS 2  KHR 2
    KMF 0  KPW 2  KRW 0  KWD 3  KYD 2  KZT 2  LAK 2  LBP 2  LKR 2  LRD 2  LSL 2  LYD 3
    MAD 2  MDL 2  MGA 2  MKD 2  MMK 2  MNT 2  MOP 2  MRU 2  MUR 2  MVR 2  MWK 2  MXN 2
    MXV 2  MYR 2  MZN 2  NAD 2  NGN 2  NIO 2  NOK 2  NPR 2  NZD 2  OMR 3  PAB 2  PEN 2
    PGK 2  PHP 2  PKR 2  PLN 2  PYG 0  QAR 2  RON 2  RSD 2  RUB 2  RWF 0  SAR 2  SBD 2
    SCR 2  SDG 2  SEK 2  SGD 2  SHP 2  SLE 2  SOS 2  SRD 2  SSP 2  STN 2  SVC 2  SYP 2
    SZL 2  THB 2  TJS 2  TMT 2  TND 3  TOP 2  TRY 2  TTD 2  TWD 2  TZS 2  UAH 2  UGX 0
    USD 2  USN 2  UYI 0  UYU 2  UYW 4  UZS 2  VED 2  VES 2  VND 0  VUV 0  WST 2  XAD 2
    XAF 0  XAG -  XAU -  XBA -  XBB -  XBC -  XBD -  XCD 2  XCG 2  XDR -  XOF 0  XPD -
    XPF 0  XPT -  XSU -  XTS -  XUA -  XXX -  YER 2  ZAR 2  ZMW 2  ZWG 2
"""
# What Ginger accepts although it is on that list no more.
WITHDRAWN = ("ANG", "BGN", "EEK", "LTL")
# What has no place in an adapter, whose floats are seconds.
UNFIT = {"/", "round", "negative power"}

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


def test_the_exponents_are_those_of_the_official_list() -> None:
    words = ISO_4217.split()
    official = {
        code: int(units)
        for code, units in zip(words[::2], words[1::2], strict=True)
        if units != "-"
    }

    assert {code: EXPONENTS[code] for code in official} == official
    assert set(EXPONENTS) - set(official) == set(WITHDRAWN)
    assert {code: EXPONENTS[code] for code in WITHDRAWN} == dict.fromkeys(WITHDRAWN, 2)


@pytest.mark.parametrize(("code", "exponent"), [("IQD", 3), ("RSD", 2), ("MGA", 2), ("AFN", 2)])
def test_where_other_lists_count_what_is_in_use_the_official_one_stands(
    code: str, exponent: int
) -> None:
    assert Money(1, code).exponent == exponent


def test_every_currency_that_ginger_accepts_has_an_exponent() -> None:
    codes = GINGER.split()

    assert len(set(codes)) == len(codes) == 87
    assert set(codes) <= set(EXPONENTS)


# Money is whole numbers wherever it is reckoned with.

# Where nothing but money, statuses and words is dealt with: no float at all.
WITHOUT_FLOATS = ("money", "order", "lifecycle", "request", "status", "notification")


def floats_in(source: str) -> list[str]:
    """Name what makes or names a float: its type, its literals, rounding, division."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=float() | complex()):
                found.append("literal")
            case ast.Name(id="float" | "round"):
                found.append(node.id)
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                found.append("/")
            case ast.BinOp(op=ast.Pow(), right=ast.UnaryOp(op=ast.USub())):
                found.append("negative power")
            case _:
                continue
    return found


@pytest.mark.parametrize(
    "source",
    [
        "minor = total / 100",
        "minor /= 100",
        "minor = int(float(text) * 100)",
        "minor = round(total)",
        "minor = total * 0.01",
        "minor = total * 10 ** -2",
        "def fee(minor: float) -> int: ...",
    ],
)
def test_a_float_in_the_way_of_money_is_found(source: str) -> None:
    assert floats_in(source)


@pytest.mark.parametrize("module", WITHOUT_FLOATS)
def test_no_float_comes_near_money(module: str) -> None:
    source = files("service.domain").joinpath(f"{module}.py").read_text("utf-8")

    assert floats_in(source) == []


def test_no_adapter_divides_or_rounds() -> None:
    """Amounts they only add, compare and pass on."""
    adapters = list(Path(providers.__path__[0]).rglob("*.py"))
    odd = {path.name: UNFIT & set(floats_in(path.read_text("utf-8"))) for path in adapters}

    assert len(adapters) > 30
    assert set().union(*odd.values()) == set(), odd
