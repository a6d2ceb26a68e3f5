"""GoCardless: billing requests and the payments that they lead to.

Webhook   Webhook-Signature: hex HMAC-SHA256 of the raw body; many events per call
API       GET /billing_requests/{id}, /payments/{id}, /events?payment=; bearer token, minor units
List      GET /events by time of creation: events of the whole account, newest first
Source    fact sheet gocardless, sections 1 (connection), 3 and 4 (status), 5 (webhook and events),
          7 and 8 (events as a list), 9 (limits)
"""

from service.providers.gocardless.adapter import GoCardless, GoCardlessKeys

__all__ = ["GoCardless", "GoCardlessKeys"]
