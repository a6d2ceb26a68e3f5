"""A fake ING Payment Request API: no webhooks, no list. Source: fact sheet ing_payment_request."""
