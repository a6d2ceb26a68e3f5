"""Whatever takes bytes from strangers, as functions of bytes that must not raise.

`python -m tests.fuzz` lets atheris look for bytes that make one raise; the suite drives the same
functions with their seeds and with fixed mutations of them.
"""
