"""A database for the tests of a module."""

from tests.emptied import shared_url

__all__ = ["shared_url"]
