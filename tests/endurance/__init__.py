"""Traffic that goes on while everything around it is killed, starved, cut off and lied to.

`python -m tests.endurance` draws one plan from one seed, prints it, plays it, and then counts.
"""
