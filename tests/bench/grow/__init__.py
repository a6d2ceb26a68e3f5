"""How what we do gets slower as the tables fill: the same work beside nothing, and beside years.

`python -m tests.bench.grow` builds its data once, in a folder that later runs reuse. The rows are
copies of requests that the product itself recorded, with other ids, references and times.
"""
