"""A fake payment_requests_v2: payment orders of our own, no webhooks, judged transfer by transfer.

Source: fact sheet payment_requests_v2.
"""
