"""The configuration: whatever the file holds, it is read, or refused by the name of a key."""

import os
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from service.cli.example import EXAMPLE
from service.errors import Misconfigured
from service.runtime import connect_accounts
from service.settings import load
from tests.fuzz.target import Target

SECRET = "secret-that-no-message-shows"
ENVIRON = {"KEY": SECRET, "EMPTY": ""}

ACCOUNTS = b"""
[settled]
listen = "[::1]:8080"
api_keys = [{ name = "erp", key_env = "KEY", role = "erp" }]
trusted_proxies = ["10.0.0.0/8"]
[polling]
open = "PT15M"
max_age = "P60D"
[[account]]
name = "shop"
provider = "ginger"
api_base = "https://api.example.com"
api_key = "secret-that-no-message-shows"
limit = "3/3s"
timeout = 2.5
words = { sent = "processing" }
[[account]]
name = "gc"
provider = "gocardless"
access_token_env = "KEY"
webhook_secrets_env = ["KEY", "KEY"]
[[endpoint]]
name = "erp"
url = "https://erp.example.com/hooks"
secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
retry = ["PT0S", "5m"]
"""
SEEDS = [
    ACCOUNTS,
    EXAMPLE.encode(),
    b"[settled]\ndata_dir = '/tmp'\nworkers = 0x7\nlog = \"json\"\n",
    b'[[account]]\nname = "a"\nprovider = "bunq"\napi_key_file = "none"\nuser_id = 42\n',
    b"a = " + b"[" * 900,
    b"[settled]\nworkers = " + b"9" * 5_000,
    b"[settled]\nlisten = 'a:" + b"9" * 5_000 + b"'\n",
    b'[settled]\ndata_dir = "a\\u0000"\n',
    b"[privacy]\nraw_bodies = 1979-05-27T07:32:00Z\nfacts = inf\n",
]


def targets() -> dict[str, Target]:
    return {"settings": Target(_settings, SEEDS)}


@cache
def _file() -> Path:
    """A file of this process, in a folder that holds nothing else."""
    return Path(tempfile.mkdtemp(prefix="settled-fuzz-")) / f"{os.getpid()}.toml"


def _settings(data: bytes) -> None:
    _file().write_bytes(data)
    with suppress(Misconfigured):
        settings = load(_file(), ENVIRON)
        assert SECRET not in repr(settings)
        connect_accounts(settings)
