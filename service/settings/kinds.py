"""Which keys of an endpoint belong to which kind; every other key may stand at any of them."""

from collections.abc import Mapping
from typing import Final

import msgspec

from service.settings.values import Expected

NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "webhook": ("url", "secrets"),
    "recipe": ("url", "recipe"),
    "file": ("folder", "format"),
    "stream": ("stream",),
}
OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "url": ("webhook", "recipe"),
    "secrets": ("webhook",),
    "body": ("webhook",),
    "signing_key": ("webhook",),
    "client_certificate_file": ("webhook",),
    "client_key_file": ("webhook",),
    "allow_private": ("webhook", "recipe"),
    "allow_insecure": ("webhook", "recipe"),
    "concurrency": ("webhook", "recipe", "stream"),
    "recipe": ("recipe",),
    "book_at": ("recipe",),
    "parameters": ("recipe",),
    "user": ("recipe",),
    "password": ("recipe",),
    "token": ("recipe",),
    "folder": ("file",),
    "format": ("file",),
    "every": ("file",),
    "stream": ("stream",),
    "redis_url": ("stream",),
    "max_length": ("stream",),
}


def check_kind(endpoint: msgspec.Struct, kind: str) -> None:
    """Raise Expected at a key that the kind needs and lacks, or that belongs to another kind.

    A key that says no more than its default is as good as absent.
    """
    for key in NEEDS[kind]:
        if not getattr(endpoint, key):
            raise Expected(f'{key}, which kind = "{kind}" needs', at=key)
    for field in msgspec.structs.fields(endpoint):
        owners = OWN.get(field.name, (kind,))
        if kind not in owners and getattr(endpoint, field.name) != _default_of(field):
            belongs = " or ".join(f'"{owner}"' for owner in owners)
            raise Expected(
                f'no {field.name} at kind = "{kind}": it is for {belongs}', at=field.name
            )


def _default_of(field: msgspec.structs.FieldInfo) -> object:
    factory = field.default_factory
    return field.default if factory is msgspec.NODEFAULT else factory()
