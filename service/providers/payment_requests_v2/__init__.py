"""Payment requests API, version 2: payment orders of our own, so money that goes out.

Webhook   none: what changes is found by polling
API       GET /payment-requests/{id}, bearer token of 24 hours, decimal major units
List      GET /payment-requests by page number, without filter, order or time of change; it
          shows all that a read does
Check     the list, and GET /client-accounts where that is forbidden
Source    fact sheet payment_requests_v2, sections 1 (connection), 2 (shapes), 3 (status),
          5 (pages); STATUSES.md, section 2, point 6 (several transfers)
"""

from service.providers.payment_requests_v2.adapter import (
    PaymentRequestsV2,
    PaymentRequestsV2Keys,
)

__all__ = ["PaymentRequestsV2", "PaymentRequestsV2Keys"]
