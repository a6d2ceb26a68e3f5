"""What each recording must come to, provider by provider."""

from tests.providers.table_bunq import BUNQ
from tests.providers.table_ginger import GINGER
from tests.providers.table_gocardless import GOCARDLESS
from tests.providers.table_ing_payment_request import ING_PAYMENT_REQUEST
from tests.providers.table_payment_requests_v2 import PAYMENT_REQUESTS_V2
from tests.providers.world import World

WORLDS: dict[str, World] = {
    "bunq": BUNQ,
    "ginger": GINGER,
    "gocardless": GOCARDLESS,
    "ing_payment_request": ING_PAYMENT_REQUEST,
    "payment_requests_v2": PAYMENT_REQUESTS_V2,
}
