"""The people and companies in bunq's answers. Source: fact sheet bunq, the fixtures."""

from dataclasses import dataclass
from uuid import NAMESPACE_URL, uuid5

from service.sandbox.ledger import Json

PAYER_NAME = "C. Payer"
PAYER_IBAN = "NL60BUNQ2025103972"


@dataclass(frozen=True, slots=True)
class Payee:
    """Whose account the money comes to."""

    name: str
    iban: str
    monetary_account_id: int

    @property
    def alias(self) -> Json:
        return bunq_user(self.name, self.iban)


def bunq_user(name: str, iban: str) -> Json:
    """Return how somebody with a bunq account is shown."""
    return {
        "iban": iban,
        "is_light": False,
        "display_name": name,
        "avatar": _avatar(iban),
        "label_user": label_user(name),
        "country": "NL",
    }


def label_user(name: str) -> Json:
    return {
        "uuid": _uuid(f"user {name}"),
        "display_name": name,
        "country": "NL",
        "avatar": _avatar(name),
        "public_nick_name": name,
        "type": "PERSON",
    }


def outsider(name: str) -> Json:
    """Return how somebody is shown who is known by an e-mail address or phone number only."""
    return {
        "iban": None,
        "is_light": None,
        "display_name": name,
        "avatar": None,
        "label_user": {
            "uuid": None,
            "display_name": name,
            "country": "000",
            "avatar": None,
            "public_nick_name": name,
        },
        "country": "000",
    }


def bunqme_url(inquiry_id: str) -> str:
    """Return the link that is sent to somebody without bunq."""
    return f"https://bunq.me/t/{_uuid(f'link {inquiry_id}')}"


def _avatar(of: str) -> Json:
    image = {
        "attachment_public_uuid": _uuid(f"image {of}"),
        "height": 640,
        "width": 640,
        "content_type": "image/png",
    }
    return {
        "uuid": _uuid(f"avatar {of}"),
        "image": [image],
        "anchor_uuid": None,
        "style": "NONE",
    }


def _uuid(of: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"https://bunq.example/{of}"))
