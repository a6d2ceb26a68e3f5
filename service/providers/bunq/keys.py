"""The keys of a bunq account, and the public keys that its answers are signed with."""

import hashlib
from pathlib import Path

from service.errors import Misconfigured
from service.providers.bunq.signature import PublicKey, public_key_of
from service.settings import Expected, Secret, Section


class BunqKeys(Section):
    """The account's own keys.

    server_public_key_file names what answers and calls may be signed with besides the key that
    our own installation was given. Calls arrive where that one is not at hand: without a file
    their signature is not checked. One that is there and wrong is always refused, one that is
    missing only with require_signed_calls: it is not documented that calls have one.
    permitted_ips are the addresses that the API key is tied to at registration, by default the
    one it is made from.
    """

    api_base: str
    api_key: Secret
    user_id: int
    monetary_account_id: int
    server_public_key_file: Path | tuple[Path, ...] = ()
    require_signed_answers: bool = False
    require_signed_calls: bool = False
    device_description: str = "settled"
    permitted_ips: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for key in ("user_id", "monetary_account_id"):
            if getattr(self, key) < 1:
                raise Expected("a number from 1 up", at=key)
        if self.require_signed_calls and not self.server_public_key_files:
            raise Expected("a file, to check calls with", at="server_public_key_file")

    @property
    def server_public_key_files(self) -> tuple[Path, ...]:
        """The files, also where the configuration names one by itself."""
        named = self.server_public_key_file
        return (named,) if isinstance(named, Path) else named

    @property
    def url(self) -> str:
        """The address of the API, version included, without a slash at its end."""
        return self.api_base.rstrip("/")

    @property
    def user_url(self) -> str:
        return f"{self.url}/user/{self.user_id}"

    @property
    def account_url(self) -> str:
        return f"{self.user_url}/monetary-account/{self.monetary_account_id}"

    @property
    def fingerprint(self) -> str:
        """What names the API key and where it is used, without telling it."""
        return hashlib.sha256(f"{self.url}\n{self.api_key.reveal()}".encode()).hexdigest()


def read_public_keys(files: tuple[Path, ...]) -> tuple[PublicKey, ...]:
    """Read public keys, one in each file. Raises Misconfigured, naming the file."""
    keys = []
    for file in files:
        try:
            keys.append(public_key_of(file.read_bytes()))
        except (OSError, ValueError) as error:
            raise Misconfigured(
                f"server_public_key_file: expected an RSA public key in PEM at {file}, got: {error}"
            ) from error
    return tuple(keys)
