"""The fake providers that there are: a name in an account's settings leads to a twin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from starlette.routing import BaseRoute

from service.sandbox.accounts import Account, AccountSettings
from service.sandbox.bunq.account import BunqAccount, BunqSettings
from service.sandbox.bunq.routes import ROUTES as BUNQ_ROUTES
from service.sandbox.ginger.account import GingerAccount, GingerSettings
from service.sandbox.ginger.routes import ROUTES as GINGER_ROUTES
from service.sandbox.gocardless.account import GoCardlessAccount, GoCardlessSettings
from service.sandbox.gocardless.routes import ROUTES as GOCARDLESS_ROUTES
from service.sandbox.ing_payment_request.account import IngAccount, IngSettings
from service.sandbox.ing_payment_request.routes import ROUTES as ING_ROUTES
from service.sandbox.payment_requests_v2.account import (
    PaymentRequestsAccount,
    PaymentRequestsSettings,
)
from service.sandbox.payment_requests_v2.routes import ROUTES as PAYMENT_REQUESTS_ROUTES


@dataclass(frozen=True, slots=True)
class Twin:
    """A fake provider: its accounts' settings, its accounts, and its doors."""

    settings: type[AccountSettings]
    make: type[Account[Any]]
    routes: Sequence[BaseRoute]


TWINS: Final[Mapping[str, Twin]] = MappingProxyType(
    {
        "bunq": Twin(BunqSettings, BunqAccount, BUNQ_ROUTES),
        "ginger": Twin(GingerSettings, GingerAccount, GINGER_ROUTES),
        "gocardless": Twin(GoCardlessSettings, GoCardlessAccount, GOCARDLESS_ROUTES),
        "ing_payment_request": Twin(IngSettings, IngAccount, ING_ROUTES),
        "payment_requests_v2": Twin(
            PaymentRequestsSettings, PaymentRequestsAccount, PAYMENT_REQUESTS_ROUTES
        ),
    }
)
