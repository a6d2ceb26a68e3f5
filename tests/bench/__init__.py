"""The benchmark: ours against references measured in the same run, on the same machine.

`python -m tests.bench` starts its own PostgreSQL and Redis, alternates the variants and prints
medians. Nothing here asserts a time; a run whose counts do not hold is an error.
"""
