"""References: what is left of the ERP's at a provider that takes fewer characters."""

import re

_LEFT_OUT = re.compile("[^A-Za-z0-9]")


def stripped(reference: str) -> str:
    """Return what is left of a reference where only ASCII letters and digits are taken.

    PostgreSQL computes the same in the index orders_by_stripped_reference.
    """
    return _LEFT_OUT.sub("", reference)


def is_stripped(reference: str) -> bool:
    """Return whether a reference holds nothing that such a provider leaves out."""
    return stripped(reference) == reference
