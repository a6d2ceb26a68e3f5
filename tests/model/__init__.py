"""The protocol's proof: the real flow and the real SQL, driven step by step against a small model.

`python -m tests.model` explores every interleaving of six steps.
"""
