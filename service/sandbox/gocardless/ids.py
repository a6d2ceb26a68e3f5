"""Identifiers of GoCardless's shape: a prefix and capital letters and digits."""

import hashlib

# Without the letters that are read as digits.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 12


def spelled(prefix: str, number: int) -> str:
    """Return an identifier from the low bits of a number."""
    letters = [ALPHABET[number >> (5 * place) & 31] for place in range(LENGTH)]
    return prefix + "".join(letters)


def part_id(prefix: str, owner: str, number: int = 0) -> str:
    """Return the identifier of a part of owner, always the same; the owner does not show in it."""
    digest = hashlib.blake2b(f"{prefix}:{owner}:{number}".encode(), digest_size=8).digest()
    return spelled(prefix, int.from_bytes(digest))
