"""The fake providers that there are: a name in an account's settings leads to a twin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import Struct
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
from service.sandbox.world import World


class UnknownProvider(ValueError):
    """There is no twin of that name."""


class WhichTwin(Struct):
    """The part of an account's settings that says which provider's they are."""

    provider: str = "ginger"


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


def open_account(world: World, settings: bytes) -> tuple[Account[Any], bool]:
    """Open an account in a world, or change one; return it and whether it is new.

    settings are JSON. Raises msgspec.DecodeError for settings that are not understood,
    UnknownProvider, and the ValueError of `World.open_account`.
    """
    name = msgspec.json.decode(settings, type=WhichTwin).provider
    if name not in TWINS:
        raise UnknownProvider(f"unknown provider {name}; there are: {', '.join(sorted(TWINS))}")
    read = msgspec.json.decode(settings, type=TWINS[name].settings)
    is_new = world.open_account(read, TWINS[name].make)
    return world.accounts[read.name], is_new
