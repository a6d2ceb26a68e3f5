"""The providers we speak with: a name in the configuration leads to a factory. One line each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from service.providers import AccountContext, Provider
from service.providers.bunq import Bunq, BunqKeys
from service.providers.ginger import Ginger, GingerKeys
from service.providers.gocardless import GoCardless, GoCardlessKeys
from service.providers.ing_payment_request import IngKeys, IngPaymentRequest
from service.providers.payment_requests_v2 import PaymentRequestsV2, PaymentRequestsV2Keys
from service.settings import Secret, Section


@dataclass(frozen=True, slots=True)
class Factory:
    """How to make a provider's adapter from an account's own keys.

    keys is the section that reads them and the type that make takes. default_limit is the call
    budget of an account that names none, written as in the configuration. credential returns
    what the provider counts calls by: accounts that share it share one budget.
    needs_webhook_token is true where the provider signs nothing, so that only an unguessable
    path keeps others out.
    certificate returns the files of the client certificate and its key, where the provider wants
    to see one.
    """

    keys: type[Section]
    make: Callable[[Any, AccountContext], Provider]
    credential: Callable[[Any], Secret]
    default_limit: str
    needs_webhook_token: bool
    certificate: Callable[[Any], tuple[Path, Path] | None] = lambda keys: None


PROVIDERS: Final[Mapping[str, Factory]] = MappingProxyType(
    {
        "bunq": Factory(
            BunqKeys,
            Bunq,
            credential=lambda keys: keys.api_key,
            default_limit="3/3s",
            needs_webhook_token=True,
        ),
        "ginger": Factory(
            GingerKeys,
            Ginger,
            credential=lambda keys: keys.api_key,
            default_limit="5/s",
            needs_webhook_token=True,
        ),
        "gocardless": Factory(
            GoCardlessKeys,
            GoCardless,
            credential=lambda keys: keys.access_token,
            default_limit="1000/m",
            needs_webhook_token=False,
        ),
        "ing_payment_request": Factory(
            IngKeys,
            IngPaymentRequest,
            credential=lambda keys: keys.client_id,
            default_limit="2/s",
            needs_webhook_token=False,
            certificate=lambda keys: keys.certificate,
        ),
        "payment_requests_v2": Factory(
            PaymentRequestsV2Keys,
            PaymentRequestsV2,
            credential=lambda keys: keys.api_token,
            default_limit="1/s",
            needs_webhook_token=False,
        ),
    }
)
