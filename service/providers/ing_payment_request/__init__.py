"""ING Payment Request API: links that payers pay by iDEAL, once or several times.

Webhook   none, and no list: only polling an id that we know tells anything
API       GET /payment-requests/{id} and /payment-requests/{id}/payments, decimal euros
Login     client certificate and a token of 15 minutes; with a signing key, HTTP signatures too
Check     an id that is nobody's, the app's scopes, GET /payment-requests/registrations
Source    fact sheet ing_payment_request, sections 4 (login), 5 (shapes), 6 (statuses),
          8 (polling); STATUSES.md, section 2, point 4 (what was asked)
"""

from service.providers.ing_payment_request.adapter import IngKeys, IngPaymentRequest

__all__ = ["IngKeys", "IngPaymentRequest"]
