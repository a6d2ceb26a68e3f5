"""Money: a whole number of minor units in one currency. Never a float.

Source: ISO 4217, list one of 2026-01-01, for the exponents; fact sheet ginger, section 15, for
withdrawn codes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final, Self, TypedDict

_CODES_BY_EXPONENT = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
        CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP
        GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK
        LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO
        NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS
        SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST
        XAD XCD XCG YER ZAR ZMW ZWG
        ANG BGN EEK LTL
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

# Decimal places of every currency in use, and of ANG, BGN, EEK and LTL, which are withdrawn but
# which Ginger still accepts. Metals, baskets and test codes have no minor unit and cannot be paid.
EXPONENTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        code: exponent
        for exponent, codes in sorted(_CODES_BY_EXPONENT.items())
        for code in codes.split()
    }
)

# Plain digits only: no exponent, no separators, no blanks. At most 14 before the point, so that
# every amount fits a PostgreSQL bigint in every currency, and Decimal's 28 digits lose nothing.
_DECIMAL_TEXT = re.compile(r"-?[0-9]{1,14}(?:\.([0-9]{1,4}))?")


class MoneyJson(TypedDict):
    """An amount as notifications and the API show it. Source: CONTRACT.md, section 5."""

    currency: str
    minor: int
    exponent: int
    decimal: str


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units of a currency; may be negative.

    Raises TypeError unless minor is an int (a bool is none), ValueError for an unknown currency.
    """

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise TypeError(f"minor units are an int, not {type(self.minor).__name__}")
        if self.currency not in EXPONENTS:
            raise ValueError(f"no currency: {self.currency!r}")

    @classmethod
    def parse(cls, text: str, currency: str) -> Self:
        """Read decimal text in major units, such as "40", "40.0" or "-40.00".

        Raises ValueError for an unknown currency, anything but plain digits, and more decimals
        than the currency has: "40.000" euros may as well have meant forty thousand.
        """
        if currency not in EXPONENTS:
            raise ValueError(f"no currency: {currency!r}")
        matched = _DECIMAL_TEXT.fullmatch(text)
        if matched is None or len(matched[1] or "") > EXPONENTS[currency]:
            raise ValueError(f"no amount in {currency}: {text!r}")
        return cls(int(Decimal(text).scaleb(EXPONENTS[currency])), currency)

    @property
    def exponent(self) -> int:
        return EXPONENTS[self.currency]

    @property
    def decimal(self) -> str:
        """The amount in major units with all of the currency's decimals, such as "-40.00"."""
        digits = f"{abs(self.minor):0{self.exponent + 1}d}"
        whole = len(digits) - self.exponent
        point = "." if self.exponent else ""
        return f"{'-' if self.minor < 0 else ''}{digits[:whole]}{point}{digits[whole:]}"

    def as_json(self) -> MoneyJson:
        return {
            "currency": self.currency,
            "minor": self.minor,
            "exponent": self.exponent,
            "decimal": self.decimal,
        }

    def __add__(self, other: Self) -> Self:
        return type(self)(self.minor + self._same_currency(other).minor, self.currency)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.minor - self._same_currency(other).minor, self.currency)

    def _same_currency(self, other: Self) -> Self:
        if other.currency != self.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up")
        return other
