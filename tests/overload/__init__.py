"""More webhooks than a receiver can take: `python -m tests.overload`."""
