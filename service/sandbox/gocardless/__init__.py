"""A fake GoCardless: billing requests, the payments they create, events and webhooks."""
