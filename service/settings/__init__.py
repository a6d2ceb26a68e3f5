"""The configuration: one TOML file as frozen sections, read once.

Nothing else reads the file or the environment. A section's fields are the keys of its table,
their types carry unit and bound; a secret X may be given as X, X_env or X_file. `load` reads
the file, `parse` tables that are already there. Every mistake raises Misconfigured with the
file, the path of the key and what was expected.

An account's own keys are a section in its provider's file; Account.keys_as reads them.
Source: CONTRACT.md, section 3.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from service.errors import Misconfigured
from service.settings.place import Place
from service.settings.rules import check
from service.settings.section import Duration, Section, Unparsed, read_section
from service.settings.tables import (
    Account,
    ApiKey,
    Database,
    Endpoint,
    Polling,
    Privacy,
    Redis,
    Role,
    Service,
    Settings,
)
from service.settings.values import (
    NOT_TOML,
    Expected,
    Rate,
    Secret,
    parse_duration,
    parse_rate,
)

__all__ = [
    "NOT_TOML",
    "Account",
    "ApiKey",
    "Database",
    "Duration",
    "Endpoint",
    "Expected",
    "Polling",
    "Privacy",
    "Rate",
    "Redis",
    "Role",
    "Secret",
    "Section",
    "Service",
    "Settings",
    "Unparsed",
    "load",
    "parse",
    "parse_duration",
    "parse_rate",
]

FILE = Path("settled.toml")


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the file at path, else at $SETTLED_CONFIG, else ./settled.toml. Raises Misconfigured."""
    file = path or Path(environ.get("SETTLED_CONFIG") or FILE)
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        hint = "run `settled init` to write one, or name yours with --config"
        raise Misconfigured(f"{file}: no such file; {hint}") from error
    except OSError as error:
        raise Misconfigured(f"{file}: expected a readable file, got: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{file}: expected UTF-8, got other bytes") from error
    except NOT_TOML as error:
        raise Misconfigured(f"{file}: expected TOML, got: {error}") from error
    return parse(table, source=str(file), environ=environ, base=file.absolute().parent)


def parse(
    table: Mapping[str, object], *, source: str, environ: Mapping[str, str], base: Path
) -> Settings:
    """Return table as settings. Raises Misconfigured at the first mistake.

    source names the file in messages; relative paths start at the folder base.
    """
    place = Place(source, base, environ)
    settings = read_section(Settings, table, place, given={"source": source})
    check(settings, place)
    return settings
