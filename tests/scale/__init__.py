"""Several processes of each kind on one PostgreSQL and Redis: killed, restored, nothing lost.

`python -m tests.scale` kills them while webhooks flow; `python -m tests.scale.restore` loses the
database and goes on from a dump.
"""
