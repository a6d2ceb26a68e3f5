"""Defects that are planted on purpose, each of which must turn tests red that are named for it.

`promised.toml` and `heart.toml` hold the defects; `python -m tests.mutants` plants them one by one
in a copy of the tree. A test that cannot fail proves nothing. Source: RELIABILITY.md, G25, A.7.
"""
