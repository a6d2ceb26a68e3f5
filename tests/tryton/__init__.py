"""A real Tryton 8 whose payments move because webhooks came in: `python -m tests.tryton`.

Not part of the suite: it needs the extra `tryton` and about two minutes. Every process is real:
trytond on SQLite, `settled up` with its PostgreSQL and Redis, and the sandbox.
"""
