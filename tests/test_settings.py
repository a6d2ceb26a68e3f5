import base64
import tomllib
from datetime import time, timedelta
from pathlib import Path

import pytest

from service.errors import Misconfigured, Unavailable
from service.settings import (
    Endpoint,
    Expected,
    Rate,
    Secret,
    Section,
    Settings,
    load,
    parse,
    parse_duration,
)

WHSEC = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()
ACCOUNT = '[[account]]\nname = "a"\nprovider = "northpay"\n'
GINGER = '[[account]]\nname = "a"\nprovider = "ginger"\n'
ENDPOINT = f'[[endpoint]]\nname = "erp"\nsecrets = ["{WHSEC}"]\nurl = "https://erp.example"\n'
LIVE = '[settled]\nmode = "live"\n'
TOKEN = "T0ken-that_is.long~"


class NorthpayKeys(Section):
    """The account keys of an invented provider."""

    api_key: Secret
    api_base: str = "https://api.northpay.example"
    certificates: Path | tuple[Path, ...] = ()
    hook_secrets: tuple[Secret, ...] = ()
    user_id: int | None = None
    every: float = 1.0

    def __post_init__(self) -> None:
        if self.user_id is not None and self.user_id < 1:
            raise Expected("a number from 1 up", at="user_id")


def read(text: str, environ: dict[str, str] | None = None, base: Path = Path("/etc/s")) -> Settings:
    return parse(tomllib.loads(text), source="settled.toml", environ=environ or {}, base=base)


def keys_of(text: str, environ: dict[str, str] | None = None) -> NorthpayKeys:
    return read(ACCOUNT + text, environ).accounts[0].keys_as(NorthpayKeys)


# Defaults


def test_an_empty_file_is_a_service_without_accounts_on_servers_of_its_own() -> None:
    settings = read("")

    assert settings.accounts == ()
    assert settings.database.embedded
    assert settings.redis.embedded
    assert settings.settled.mode == "test"
    assert (settings.settled.host, settings.settled.port) == ("127.0.0.1", 8080)


def test_defaults_are_those_of_the_contract() -> None:
    settings = read(ENDPOINT)

    assert settings.polling.open == timedelta(minutes=15)
    assert settings.privacy.facts == timedelta(days=3650)
    assert settings.endpoints[0].timeout == timedelta(seconds=20)
    assert settings.endpoints[0].rate == Rate(50, 1.0)


def test_every_night_has_a_time_of_day_or_none() -> None:
    assert read("").reconcile.nightly_at == time(2, 30)
    assert read('[reconcile]\nat = "23:05"').reconcile.nightly_at == time(23, 5)
    assert read('[reconcile]\nat = "never"').reconcile.nightly_at is None


def test_paths_start_at_the_folder_of_the_file_also_by_default() -> None:
    assert read("").settled.data_dir == Path("/etc/s/.settled")
    assert read('[settled]\ndata_dir = "x"').settled.data_dir == Path("/etc/s/x")
    assert read('[settled]\ndata_dir = "/var/x"').settled.data_dir == Path("/var/x")


def test_an_ipv6_address_loses_its_brackets() -> None:
    settled = read('[settled]\nlisten = "[::1]:0"').settled

    assert (settled.host, settled.port) == ("::1", 0)


def test_a_server_may_be_named_or_embedded() -> None:
    assert read('[database]\nurl = "embedded"').database.url is None
    assert read('[redis]\nurl = "unix:///run/redis"').redis.url == Secret("unix:///run/redis")


# Values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT15M", timedelta(minutes=15)),
        ("P60D", timedelta(days=60)),
        ("P1DT2H", timedelta(days=1, hours=2)),
        ("P2W", timedelta(weeks=2)),
        ("PT0.5S", timedelta(milliseconds=500)),
        ("15m", timedelta(minutes=15)),
        ("2s", timedelta(seconds=2)),
        ("7d", timedelta(days=7)),
        ("500ms", timedelta(milliseconds=500)),
    ],
)
def test_a_duration_is_iso_8601_or_short(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1DT", "15", "m", "-5s", "1.5h", "PT-1S", "15 m", "٣s", "PT15M\n"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(Expected, match="a duration such as"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0s", "PT0S", "P0D"])
def test_a_duration_is_longer_than_zero_unless_zero_means_something(text: str) -> None:
    with pytest.raises(Expected, match="longer than zero"):
        parse_duration(text)
    assert parse_duration(text, zero=True) == timedelta()


def test_a_duration_that_no_calendar_holds_is_refused() -> None:
    with pytest.raises(Expected):
        parse_duration("P999999999Y", calendar=True)


def test_years_and_months_are_understood_only_where_they_make_sense() -> None:
    assert parse_duration("P1Y2M", calendar=True) == timedelta(days=365 + 60)
    with pytest.raises(Expected, match="one minute"):
        parse_duration("P1M")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5/s", Rate(5, 1.0)),
        ("3/3s", Rate(3, 3.0)),
        ("600/m", Rate(600, 60.0)),
        ("1000/h", Rate(1000, 3600.0)),
    ],
)
def test_a_rate_is_a_count_in_a_time(text: str, expected: Rate) -> None:
    assert read(f'{ACCOUNT}limit = "{text}"').accounts[0].limit == expected


def test_the_retry_schedule_may_begin_at_once() -> None:
    endpoint = read(ENDPOINT + 'retry = ["PT0S", "5s"]').endpoints[0]

    assert endpoint.retry == (timedelta(), timedelta(seconds=5))


# Secrets


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("hunter2")

    assert f"{secret} {secret!r} {[secret]}" == "*** *** [***]"
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2")
    assert secret != Secret("hunter3")


def test_a_secret_may_be_written_named_or_kept_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from a file\r\n")

    assert keys_of('api_key = "written"').api_key.reveal() == "written"
    assert keys_of('api_key_env = "KEY"', {"KEY": "named"}).api_key.reveal() == "named"
    from_file = keys_of(f'api_key_file = "{file}"').api_key
    assert (from_file.reveal(), from_file.file) == ("from a file", file)


def test_a_secret_in_a_file_can_be_read_again_and_any_other_stays_what_it_is(
    tmp_path: Path,
) -> None:
    file = tmp_path / "token"
    file.write_text("yesterday\n")
    secret = keys_of(f'api_key_file = "{file}"').api_key
    file.write_text("today\r\n")

    assert (secret.reread(), secret.reread().file) == (Secret("today"), file)
    assert secret.reveal() == "yesterday"
    assert Secret("written").reread() == Secret("written")


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_secret_whose_file_holds_none_for_now_is_unavailable(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "token"
    file.write_text("yesterday")
    secret = keys_of(f'api_key_file = "{file}"').api_key
    file.unlink() if content is None else file.write_bytes(content)

    with pytest.raises(Unavailable, match="secret_file_unreadable"):
        secret.reread()


def test_a_list_of_secrets_keeps_its_order(tmp_path: Path) -> None:
    (tmp_path / "new").write_text("1\n")
    (tmp_path / "old").write_text("2\n")
    names = 'api_key = "k"\nhook_secrets_env = ["NEW", "OLD"]'
    files = f'api_key = "k"\nhook_secrets_file = ["{tmp_path}/new", "{tmp_path}/old"]'

    assert keys_of(names, {"OLD": "2", "NEW": "1"}).hook_secrets == (Secret("1"), Secret("2"))
    assert keys_of(files).hook_secrets == (Secret("1"), Secret("2"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "account[0].api_key: expected one of api_key, api_key_env, api_key_file, got nothing"),
        ('api_key = "x"\napi_key_env = "Y"', "account[0].api_key: expected one of"),
        ('api_key_env = "GONE"', "account[0].api_key_env: expected the environment variable GONE"),
        ('api_key_env = "BLANK"', "account[0].api_key_env: expected the environment variable"),
        ('api_key_file = "none"', "account[0].api_key_file: expected a readable file at /etc/s/no"),
        ('api_key_file = "/dev/null"', "account[0].api_key_file: expected a secret in /dev/null"),
        ('api_key = ""', "account[0].api_key: expected text that is not empty"),
        ("api_key = 12", "account[0].api_key: expected text that is not empty"),
        ('api_key = "k"\nhook_secrets_env = ["GONE"]', "account[0].hook_secrets_env[0]: expected"),
    ],
)
def test_a_secret_that_is_not_there_stops_the_start(text: str, message: str) -> None:
    with pytest.raises(Misconfigured) as error:
        keys_of(text, {"BLANK": ""})
    assert str(error.value).startswith(f"settled.toml: {message}")


@pytest.mark.parametrize(
    "text",
    [
        f'{ACCOUNT}webhook_token = ["hunter2"]',
        f'{ACCOUNT}webhook_token = "hunter2/../"',
        '[database]\nurl = "mysql://root:hunter2@db"',
        ENDPOINT.replace(WHSEC, "hunter2"),
        '[[endpoint]]\nname = "x"\nsecrets = "hunter2"',
        '[settled]\napi_keys = [{name = "x", key = "hunter2", role = "king"}]',
        '[settled]\napi_keys = "hunter2"',
    ],
)
def test_no_message_shows_a_secret(text: str) -> None:
    with pytest.raises(Misconfigured) as error:
        read(text)
    assert "hunter2" not in str(error.value)


# Messages


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[settled]\nlisten = 8080", "settled.listen: expected text, got 8080"),
        ('[settled]\nlisten = "8080"', "settled.listen: expected HOST:PORT"),
        ('[settled]\nlisten = "localhost:99999"', "settled.listen: expected HOST:PORT"),
        ('[settled]\nmode = "prod"', 'settled.mode: expected one of "test", "live", got "prod"'),
        ("[settled]\nworkers = 0", "settled.workers: expected at least 1, got 0"),
        ("[polling]\nsilent_changes = 0", "polling.silent_changes: expected at least 1, got 0"),
        ("[settled]\nworkers = true", "settled.workers: expected a whole number, got true"),
        ('[settled]\nmetrics_public = "no"', "settled.metrics_public: expected true or false"),
        ('[settled]\ntrusted_proxies = ["x"]', "settled.trusted_proxies[0]: expected a network"),
        ('[settled]\nbase_url = "pay.example"', "settled.base_url: expected a URL"),
        ("settled = 1", "settled: expected a table, got a single value"),
        ('[database]\nurl = "mysql://db"', 'database.url: expected "embedded" or a URL with'),
        ('[redis]\nurl = "http://redis"', 'redis.url: expected "embedded" or a URL with'),
        ('[polling]\nopen = "soon"', "polling.open: expected a duration such as"),
        ("[polling]\nopen = 900", "polling.open: expected a duration such as"),
        ('[reconcile]\nat = "24:00"', "reconcile.at: expected a time of day"),
        ('[reconcile]\nat = "2:30"', "reconcile.at: expected a time of day"),
        ('[[account]]\nprovider = "x"', "account[0].name: expected text, got nothing"),
        (f'{ACCOUNT}limit = "fast"', 'account[0].limit: expected a rate such as "5/s"'),
        (f'{ACCOUNT}limit = "0/s"', "account[0].limit: expected a rate"),
        (f"{ACCOUNT}words = {{ x = 1 }}", "account[0].words.x: expected text, got 1"),
        (f'{ACCOUNT}api_base = "ftp://x"', "account[0].api_base: expected a URL"),
        (f'{ACCOUNT}webhook_allow_from = ["1.2.3.4/8"]', "account[0].webhook_allow_from[0]: exp"),
        (f'{ACCOUNT}webhook_token = "a/b"', "account[0].webhook_token: expected only letters"),
        (ACCOUNT.replace('"a"', '"a b"'), "account[0].name: expected up to 64 letters"),
        (f"{ACCOUNT}{ACCOUNT}", 'account[1].name: expected a name that is used once, got "a"'),
        (f"{ENDPOINT}{ENDPOINT}", "endpoint[1].name: expected a name that is used once"),
        ('[account]\nname = "a"', "account: expected a list, got a table"),
        ('[[endpoint]]\nname = "erp"', "endpoint[0].url: expected url"),
        ('[[endpoint]]\nname = "e"\nkind = "file"', "endpoint[0].folder: expected folder"),
        (ENDPOINT.replace(WHSEC, "whsec_c2hvcnQ="), "endpoint[0].secrets[0]: expected a secret of"),
        (ENDPOINT.replace("https://erp", "https://me:you@erp"), "endpoint[0].url: expected a URL"),
        (ENDPOINT.replace("https", "http"), "endpoint[0].url: expected an https URL, or allow_pri"),
        (f'{ENDPOINT}signing_key = "{WHSEC}"', "endpoint[0].signing_key: expected an ed25519 key"),
        (
            ENDPOINT.replace(f'["{WHSEC}"]', f"{[WHSEC] * 6}"),
            "endpoint[0].secrets: expected at mos",
        ),
        (f'{ENDPOINT}client_key_file = "k"', "endpoint[0].client_certificate_file: expected a fi"),
        (f'{ENDPOINT}client_certificate_file = "c"', "endpoint[0].client_key_file: expected a fi"),
        (f"{ENDPOINT}concurrency = 0", "endpoint[0].concurrency: expected at least 1"),
        (f'{ENDPOINT}accounts = ["b"]\n{ACCOUNT}', "endpoint[0].accounts[0]: expected the name of"),
        ('[privacy]\nfacts = "forever"', "privacy.facts: expected a duration such as"),
    ],
)
def test_a_bad_value_is_named_by_file_key_and_expectation(text: str, message: str) -> None:
    with pytest.raises(Misconfigured) as error:
        read(text)
    assert str(error.value).startswith(f"settled.toml: {message}")


@pytest.mark.parametrize(
    ("text", "path", "meant"),
    [
        ("[pooling]", "pooling", "polling"),
        ('[settled]\nlissten = "x"', "settled.lissten", "listen"),
        (f"{ENDPOINT}timout = 5", "endpoint[0].timout", "timeout"),
        (f'{ENDPOINT}secret_env = ["X"]', "endpoint[0].secret_env", "secrets_env"),
    ],
)
def test_an_unknown_key_is_told_the_nearest_known_one(text: str, path: str, meant: str) -> None:
    with pytest.raises(Misconfigured) as error:
        read(text)
    assert str(error.value) == f'settled.toml: {path}: unknown key, did you mean "{meant}"?'


# Keys of a provider


def test_an_account_leaves_its_own_keys_to_its_provider() -> None:
    keys = keys_of('api_key = "k"\nuser_id = 42\ncertificates = "a.pem"\nevery = 2')

    assert (keys.user_id, keys.every) == (42, 2.0)
    assert keys.certificates == Path("/etc/s/a.pem")


def test_a_list_is_taken_where_one_or_several_are_allowed() -> None:
    keys = keys_of('api_key = "k"\ncertificates = ["a.pem", "/b.pem"]')

    assert keys.certificates == (Path("/etc/s/a.pem"), Path("/b.pem"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('api_kye = "k"', 'account[0].api_kye: unknown key, did you mean "api_key"?'),
        ('api_key = "k"\nlimt = "5/s"', 'account[0].limt: unknown key, did you mean "limit"?'),
        ('api_key = "k"\nuser_id = "x"', 'account[0].user_id: expected a whole number, got "x"'),
        ('api_key = "k"\nuser_id = 0', "account[0].user_id: expected a number from 1 up"),
    ],
)
def test_a_mistake_in_a_providers_key_is_named_like_any_other(text: str, message: str) -> None:
    with pytest.raises(Misconfigured) as error:
        keys_of(text)
    assert str(error.value) == f"settled.toml: {message}"


# Live mode


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GINGER, "account[0].webhook_token: expected a token in live mode"),
        (GINGER.replace("ginger", "bunq"), "account[0].webhook_token: expected a token in live"),
        (f'{ACCOUNT}webhook_token = "short"', "account[0].webhook_token: expected at least 16"),
        (f'{ACCOUNT}api_base = "http://x"', "account[0].api_base: expected an https URL in live"),
        (ENDPOINT.replace("https", "http"), "endpoint[0].url: expected an https URL in live mode"),
        (
            ENDPOINT.replace("https", "http") + "allow_private = true",
            "endpoint[0].url: expected an https URL in live mode",
        ),
    ],
)
def test_live_mode_refuses_what_a_test_may_do(text: str, message: str) -> None:
    with pytest.raises(Misconfigured) as error:
        read(LIVE + text)
    assert str(error.value).startswith(f"settled.toml: {message}")


@pytest.mark.parametrize(
    "text",
    [
        f'{GINGER}webhook_token = "{TOKEN}"',
        f'{ACCOUNT}api_base = "http://x"\nallow_insecure = true',
        ENDPOINT.replace("https", "http") + "allow_insecure = true",
        ENDPOINT,
    ],
)
def test_live_mode_starts_with_what_it_asks_for(text: str) -> None:
    assert read(LIVE + text).settled.live


@pytest.mark.parametrize(
    "text",
    [
        GINGER,
        f'{ACCOUNT}api_base = "http://127.0.0.1:9000"\nwebhook_token = "short"',
        ENDPOINT.replace("https", "http") + "allow_private = true",
    ],
)
def test_test_mode_allows_it(text: str) -> None:
    assert not read(text).settled.live


# Endpoints


@pytest.mark.parametrize(
    ("type_", "account", "expected"),
    [
        ("payment_request.paid", "nl-1", True),
        ("payment_request.paid", "de-1", False),
        ("order.paid", None, True),
        ("endpoint.test", None, False),
    ],
)
def test_an_endpoint_gets_its_types_of_its_accounts(
    type_: str, account: str | None, expected: bool
) -> None:
    endpoint = Endpoint(
        name="erp", url="https://erp.example", secrets=(Secret(WHSEC),), accounts=("nl-*",)
    )

    assert endpoint.matches(type_, account) is expected


# Loading


def test_the_option_wins_over_the_environment_and_that_over_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("option", "environment", "settled"):
        Path(f"{name}.toml").write_text("")

    environ = {"SETTLED_CONFIG": "environment.toml"}
    assert load(Path("option.toml"), environ).source == "option.toml"
    assert load(None, environ).source == "environment.toml"
    assert load(None, {}).source == "settled.toml"
    assert load(None, {}).settled.data_dir == tmp_path / ".settled"


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"none\.toml: no such file; run `settled init`"):
        load(tmp_path / "none.toml", {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = b\n", r"expected TOML, got: .*line 1"),
        (b"# \xff", "expected UTF-8"),
        (b"a = " + b"[" * 5_000, "expected TOML, got: .*recursion"),
        (b"a = " + b"9" * 5_000, "expected TOML, got: .*digits"),
        (b"[settled]\nlisten = 'a:" + b"9" * 5_000 + b"'", "settled.listen: expected HOST:PORT"),
        (b'[settled]\ndata_dir = "a\\u0000"', "settled.data_dir: expected a path without NUL"),
        (
            b'[[settled.api_keys]]\nname = "a"\nrole = "erp"\nkey_file = "a\\u0000"',
            r"api_keys\[0\].key_file: expected a path without NUL",
        ),
    ],
)
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "settled.toml"
    file.write_bytes(content)

    with pytest.raises(Misconfigured, match=message):
        load(file, {})


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="expected a readable file"):
        load(tmp_path, {})
