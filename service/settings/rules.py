"""Rules between the tables: unique names, and what live mode asks for.

Source: CONTRACT.md, section 3.
"""

import re
from collections.abc import Iterable

from service.settings.place import Place
from service.settings.tables import Account, Endpoint, Settings

# Providers that sign nothing, so that the path must be what nobody can guess.
UNSIGNED_PROVIDERS = frozenset({"ginger", "bunq"})
TOKEN = re.compile(r"[A-Za-z0-9._~-]+", re.ASCII)
TOKEN_CHARACTERS_MIN = 16


def check(settings: Settings, place: Place) -> None:
    """Raise Misconfigured at the first rule between tables that settings break."""
    check_unique("settled.api_keys", (key.name for key in settings.settled.api_keys), place)
    check_unique("account", (account.name for account in settings.accounts), place)
    check_unique("endpoint", (endpoint.name for endpoint in settings.endpoints), place)
    for index, account in enumerate(settings.accounts):
        check_account(account, settings, place.key("account").item(index))
    for index, endpoint in enumerate(settings.endpoints):
        check_endpoint(endpoint, settings, place.key("endpoint").item(index))


def check_unique(key: str, names: Iterable[str], place: Place) -> None:
    listed = list(names)
    for index, name in enumerate(listed):
        if name in listed[:index]:
            raise place.key(key).item(index).key("name").wrong("a name that is used once", name)


def check_account(account: Account, settings: Settings, place: Place) -> None:
    live = settings.settled.live
    check_token(account, place.key("webhook_token"), live=live)
    insecure = account.api_base is not None and not account.api_base.startswith("https://")
    if live and insecure and not account.allow_insecure:
        expected = "an https URL in live mode, or allow_insecure = true"
        raise place.key("api_base").wrong(expected, account.api_base)


def check_token(account: Account, place: Place, *, live: bool) -> None:
    """Check that an account's webhook path can be used and, in live mode, not be guessed."""
    if account.webhook_token is None:
        if live and account.provider in UNSIGNED_PROVIDERS:
            raise place.wrong(f"a token in live mode, since {account.provider} signs nothing")
        return
    token = account.webhook_token.reveal()
    if not TOKEN.fullmatch(token):
        raise place.wrong("only letters, digits, -, ., _ and ~, since it is part of a URL")
    if live and len(token) < TOKEN_CHARACTERS_MIN:
        raise place.wrong(f"at least {TOKEN_CHARACTERS_MIN} characters in live mode")


def check_endpoint(endpoint: Endpoint, settings: Settings, place: Place) -> None:
    known = [account.name for account in settings.accounts]
    for index, pattern in enumerate(endpoint.accounts):
        if known and "*" not in pattern and pattern not in known:
            expected = 'the name of an account, or a pattern such as "*"'
            raise place.key("accounts").item(index).wrong(expected, pattern)
    if endpoint.url is None or endpoint.url.startswith("https://") or endpoint.allow_insecure:
        return
    if settings.settled.live:
        raise place.key("url").wrong("an https URL in live mode, or allow_insecure = true")
    if not endpoint.allow_private:
        raise place.key("url").wrong("an https URL, or allow_private = true in test mode")
