"""The document against the running API, by calls that schemathesis makes up; no part of the gate.

Needs the extra `schema`.
"""
