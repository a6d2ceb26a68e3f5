"""GoCardless: billing requests and the payments that they lead to.

Webhook   Webhook-Signature: hex HMAC-SHA256 of the raw body; many events per call
API       GET /billing_requests/{id}, /payments/{id}, /events?payment=; bearer token, minor units
Lists     GET /events by time of creation; GET /billing_requests and /payments with statuses;
          all newest first
Source    fact sheet gocardless, sections 1 (connection), 2 (resources), 3 and 4 (status),
          5 (webhook and events), 7 and 8 (lists), 9 (limits)
"""

from service.providers.gocardless.adapter import GoCardless, GoCardlessKeys

__all__ = ["GoCardless", "GoCardlessKeys"]
