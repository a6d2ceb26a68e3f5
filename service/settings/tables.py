"""The tables of the configuration, one section each; a rule within a table stands beside it.

Source of every key and default: CONTRACT.md, section 3.
"""

import re
from collections.abc import Callable, Mapping
from datetime import time, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar

from msgspec import field
from msgspec.structs import force_setattr

from service.domain.channel import SILENT_CHANGES
from service.domain.signature import SIGNATURES_MAX
from service.settings.kinds import check_kind
from service.settings.section import Duration, Section, Unparsed
from service.settings.values import (
    Expected,
    Rate,
    Secret,
    check_network,
    check_signing_key,
    check_url,
    check_webhook_secret,
)

Role = Literal["viewer", "erp", "operator", "admin"]
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
NAME_WANTED = "up to 64 letters, digits, - and _"
PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
PORT_MAX = 65535
TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)

S = TypeVar("S", bound=Section)
T = TypeVar("T")


class ApiKey(Section):
    """Who may call the API and open the console, and what for."""

    name: str
    key: Secret
    role: Role


class Service(Section):
    """What this installation is and where it listens.

    base_url is how others reach us, where that differs from listen. workers and web_processes
    are how many of each `settled up` starts. traces is the address of an OTLP collector over HTTP.
    """

    listen: str = "127.0.0.1:8080"
    base_url: str | None = None
    mode: Literal["test", "live"] = "test"
    data_dir: Path = Path(".settled")
    api_keys: tuple[ApiKey, ...] = ()
    metrics_public: bool = True
    trusted_proxies: tuple[str, ...] = ()
    workers: int = 2
    web_processes: int = 1
    log: Literal["auto", "json", "console"] = "auto"
    traces: str | None = None

    def __post_init__(self) -> None:
        host, _, port = self.listen.rpartition(":")
        if not host or not PORT.fullmatch(port) or int(port) > PORT_MAX:
            raise Expected('HOST:PORT such as "127.0.0.1:8080"', at="listen")
        if self.base_url is not None:
            _check("base_url", check_url, self.base_url)
        if self.traces is not None:
            _check("traces", check_url, self.traces)
        _check_each("trusted_proxies", check_network, self.trusted_proxies)
        _check_at_least_one("workers", self.workers)
        _check_at_least_one("web_processes", self.web_processes)

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to listen on; 0 lets the system choose one."""
        return int(self.listen.rpartition(":")[2])

    @property
    def live(self) -> bool:
        return self.mode == "live"


class Server(Section):
    """A server that we need; url is None where we start it ourselves ("embedded")."""

    schemes: ClassVar[tuple[str, ...]] = ()

    url: Secret | None = None

    def __post_init__(self) -> None:
        if self.url is None:
            return
        text = self.url.reveal()
        if text == "embedded":
            force_setattr(self, "url", None)
        elif not text.startswith(self.schemes):
            raise Expected(f'"embedded" or a URL with {" or ".join(self.schemes)}', at="url")

    @property
    def embedded(self) -> bool:
        return self.url is None


class Database(Server):
    """PostgreSQL, where everything is kept."""

    schemes = ("postgresql://", "postgres://")


class Redis(Server):
    """Redis, which carries the wake-up calls for the workers and holds nothing of value."""

    schemes = ("redis://", "rediss://", "unix://")


class Polling(Section):
    """How often we look without being told: the safety net behind the webhooks.

    sweep_lookback is how far back the first sweep looks; later ones continue from the last.
    silent_changes in a row, found by looking at an account that sends webhooks and announced by
    none, mean that it has fallen silent. Source of the default: `domain/channel.py`.
    """

    open: timedelta = timedelta(minutes=15)
    processing: timedelta = timedelta(minutes=5)
    paid: timedelta = timedelta(days=1)
    max_age: timedelta = timedelta(days=60)
    sweep: timedelta = timedelta(minutes=5)
    sweep_lookback: timedelta = timedelta(days=7)
    silent_changes: int = SILENT_CHANGES

    def __post_init__(self) -> None:
        _check_at_least_one("silent_changes", self.silent_changes)


class Account(Section):
    """One set of credentials at one provider.

    limit is our call budget there, None for the provider's own default. words maps a provider's
    word to a canonical status, over the built-in table. keys are the provider's own.
    """

    name: str
    provider: str
    limit: Rate | None = None
    discover: bool = True
    reference_from: str | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    paid_is_settled: bool = False
    webhook_token: Secret | None = None
    webhook_allow_from: tuple[str, ...] = ()
    timeout: timedelta = timedelta(seconds=10)
    allow_insecure: bool = False
    keys: Unparsed = Unparsed()

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_each("webhook_allow_from", check_network, self.webhook_allow_from)
        if self.api_base is not None:
            _check("api_base", check_url, self.api_base)

    @property
    def api_base(self) -> str | None:
        """The provider's address where the account names one; which one else is its adapter's."""
        api_base = self.keys.table.get("api_base")
        return api_base if isinstance(api_base, str) else None

    def keys_as(self, section: type[S]) -> S:
        """Read the provider's own keys as section. Raises Misconfigured."""
        return self.keys.read_as(section)


class Endpoint(Section):
    """Where notifications go: by webhook, by a recipe for a known ERP, to a file or a stream.

    secrets sign in this order, all of them during a rotation; signing_key adds a signature that
    its public key checks. retry replaces the default schedule. allow_private lets the address be
    in the own network. recipe is the name of one that is built in or the path of a file;
    parameters, user, password and token are what it asks for. redis_url is our own Redis unless
    given.
    """

    name: str
    kind: Literal["webhook", "recipe", "file", "stream"] = "webhook"
    url: str | None = None
    secrets: tuple[Secret, ...] = ()
    body: Literal["settled", "cloudevents"] = "settled"
    accounts: tuple[str, ...] = ("*",)
    types: tuple[str, ...] = ("payment_request.*", "order.*")
    timeout: timedelta = timedelta(seconds=20)
    rate: Rate = Rate(50, 1.0)
    concurrency: int = 10
    allow_private: bool = False
    allow_insecure: bool = False
    compact: bool = False
    retry: tuple[Annotated[timedelta, Duration(zero=True)], ...] | None = None
    signing_key: Secret | None = None
    client_certificate_file: Path | None = None
    client_key_file: Path | None = None
    recipe: str | None = None
    book_at: Literal["paid", "settled"] | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    password: Secret | None = None
    token: Secret | None = None
    folder: Path | None = None
    format: Literal["csv", "jsonl"] | None = None
    every: timedelta | None = None
    stream: str | None = None
    redis_url: Secret | None = None
    max_length: int | None = None

    def __post_init__(self) -> None:
        _check_name(self.name)
        check_kind(self, self.kind)
        if self.url is not None:
            _check("url", check_url, self.url)
        self._check_signing()
        self._check_certificate()
        _check_at_least_one("concurrency", self.concurrency)
        if self.redis_url is not None and not self.redis_url.reveal().startswith(Redis.schemes):
            raise Expected(f"a URL with {' or '.join(Redis.schemes)}", at="redis_url")
        if self.max_length is not None:
            _check_at_least_one("max_length", self.max_length)

    def _check_signing(self) -> None:
        _check_each("secrets", check_webhook_secret, self.secrets)
        if self.signing_key is not None:
            _check("signing_key", check_signing_key, self.signing_key)
        if len(self.secrets) + (self.signing_key is not None) > SIGNATURES_MAX:
            raise Expected(
                f"at most {SIGNATURES_MAX} signatures: receivers look at no more", at="secrets"
            )

    def _check_certificate(self) -> None:
        given = {
            "client_certificate_file": self.client_certificate_file,
            "client_key_file": self.client_key_file,
        }
        missing = [key for key, file in given.items() if file is None]
        if len(missing) == 1:
            [other] = given.keys() - missing
            raise Expected(f"a file, since {other} is given", at=missing[0])

    def matches(self, type: str, account: str | None) -> bool:  # noqa: A002 - the field's name
        """Return whether a notification of this type, about this account, comes here.

        account is None for what is about no single account: then its type decides alone.
        """
        of_account = account is None or _fits(account, self.accounts)
        return of_account and _fits(type, self.types)


class Privacy(Section):
    """How long we keep what: bodies as received, and the facts drawn from them.

    raw_bodies drops the days of bodies and of reads with their answers. facts drops the quarters of
    events, transitions, notifications, deliveries and attempts, each when all of it is too old and
    nothing of it waits. Requests and orders as they stand are kept.
    """

    raw_bodies: Annotated[timedelta, Duration(calendar=True)] = timedelta(days=30)
    facts: Annotated[timedelta, Duration(calendar=True)] = timedelta(days=3650)


class Reconcile(Section):
    """When the last days of every account are compared, night by night.

    at is a time of day in UTC, or "never".
    """

    at: str = "02:30"

    def __post_init__(self) -> None:
        if self.at != "never" and not TIME_OF_DAY.fullmatch(self.at):
            raise Expected('a time of day in UTC such as "02:30", or "never"', at="at")

    @property
    def nightly_at(self) -> time | None:
        """The time of day in UTC, None for never."""
        return None if self.at == "never" else time.fromisoformat(self.at)


class Settings(Section):
    """The whole file; source names it in messages."""

    source: str
    settled: Service = field(default_factory=Service)
    database: Database = field(default_factory=Database)
    redis: Redis = field(default_factory=Redis)
    polling: Polling = field(default_factory=Polling)
    accounts: tuple[Account, ...] = field(name="account", default=())
    endpoints: tuple[Endpoint, ...] = field(name="endpoint", default=())
    privacy: Privacy = field(default_factory=Privacy)
    reconcile: Reconcile = field(default_factory=Reconcile)


@lru_cache(maxsize=1024)
def _fits(word: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(word, pattern) for pattern in patterns)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise Expected(NAME_WANTED, at="name")


def _check_at_least_one(key: str, number: int) -> None:
    if number < 1:
        raise Expected(f"at least 1, got {number}", at=key)


def _check_each(key: str, check: Callable[[T], None], values: tuple[T, ...]) -> None:
    for index, value in enumerate(values):
        _check(f"{key}[{index}]", check, value)


def _check(key: str, check: Callable[[T], None], value: T) -> None:
    """Run check on the value under key, and let its complaint name that key."""
    try:
        check(value)
    except Expected as error:
        raise Expected(str(error), at=key) from None
