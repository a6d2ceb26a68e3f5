"""Hostile senders against a real receiver: `python -m tests.hostile`."""
