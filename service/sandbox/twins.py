"""The fake providers that there are: a name in an account's settings leads to a twin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from starlette.routing import BaseRoute

from service.sandbox.accounts import Account, AccountSettings
from service.sandbox.ginger.account import GingerAccount, GingerSettings
from service.sandbox.ginger.routes import ROUTES as GINGER_ROUTES


@dataclass(frozen=True, slots=True)
class Twin:
    """A fake provider: its accounts' settings, its accounts, and its doors."""

    settings: type[AccountSettings]
    make: type[Account[Any]]
    routes: Sequence[BaseRoute]


TWINS: Final[Mapping[str, Twin]] = MappingProxyType(
    {
        "ginger": Twin(GingerSettings, GingerAccount, GINGER_ROUTES),
    }
)
