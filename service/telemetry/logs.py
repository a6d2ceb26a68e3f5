"""Log lines: set up once per process, the same for our own events and for libraries.

An event is named `noun.past_participle` and its facts are fields. Whatever a caller passes, no
line shows a body, a header, a key, a signature, a name or an IBAN: fields with such names are
redacted, and values are cut, cleaned and searched for IBANs.
"""

import logging
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

EVENT_NAME = re.compile(r"[a-z_]+(\.[a-z_]+)+", re.ASCII)
CHARACTERS_MAX = 200
REDACTED = "[redacted]"
# A field is refused when a word of its name is one of these, alone or in the plural.
REFUSED_WORDS = frozenset(
    {"address", "authorization", "bic", "body", "card", "cookie", "credential", "email", "header"}
    | {"iban", "key", "name", "password", "payload", "phone", "secret", "signature", "token"}
)
# Shape of an IBAN: country, two check digits, 11 to 30 characters. Source: ISO 13616-1.
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b", re.ASCII)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
LIBRARIES = ("uvicorn", "uvicorn.error", "uvicorn.access", "celery", "kombu", "asyncio")


def configure(log: str, *, role: str, level: int = logging.INFO) -> None:
    """Send log lines to stderr: JSON, or readable where log is "console" or a person looks on.

    log is the setting of that name. role tells the processes apart: web, worker, beat, ...
    level is the lowest of our own that shows: a command that tells its own story shows errors only.
    """
    as_json = log == "json" or (log == "auto" and not sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Role(role),
    ]
    last: list[Processor] = [
        structlog.processors.format_exc_info,
        redact,
        structlog.processors.JSONRenderer(serializer=_json) if as_json else _readable(),
    ]
    structlog.configure(
        processors=[*shared, check_event_name, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    _route_libraries([*shared, name_library_event], last)


def _readable() -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _route_libraries(shared: list[Processor], last: list[Processor]) -> None:
    """Let libraries that use the standard logging come out as our lines, from WARNING up."""
    handler = logging.StreamHandler(sys.stderr)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[remove_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in LIBRARIES:
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
        library.setLevel(logging.WARNING)


class _Role:
    """Adds which of our processes speaks."""

    def __init__(self, role: str) -> None:
        self._role = role

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["role"] = self._role
        return event


def check_event_name(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Let no free text through as an event: it becomes a field, which is cut and cleaned."""
    if not EVENT_NAME.fullmatch(str(event["event"])):
        event.update(event="log.misnamed", message=event["event"])
    return event


def name_library_event(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Name a library's line, which is free text, and keep the text as a field."""
    library = event["_record"].name
    event.update(event="library.reported", message=event["event"], library=library)
    return event


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Clean every field; of a traceback, which has many lines, only IBANs are taken out."""
    return {
        key: IBAN.sub(_redact_iban, value) if key == "exception" else _clean(key, value)
        for key, value in event.items()
    }


def _clean(key: str, value: object) -> object:
    """Return value as it may stand in a line under key."""
    if is_refused(key):
        return REDACTED
    match value:
        case None | bool() | int() | float() | datetime():
            return value
        case Enum():
            return _clean(key, value.value)
        case Mapping():
            return {str(name): _clean(str(name), item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_clean(key, item) for item in value]
        case bytes() | bytearray() | memoryview():
            return REDACTED
        case _:
            return _clean_text(str(value))


@lru_cache(maxsize=1024)
def is_refused(key: str) -> bool:
    """Return whether a field of this name may hold what no line shows."""
    return any(
        word in REFUSED_WORDS or word.removesuffix("s") in REFUSED_WORDS
        for word in re.split(r"[^a-z]+", key.lower())
    )


def _clean_text(text: str) -> str:
    text = IBAN.sub(_redact_iban, CONTROL.sub(" ", text))
    return text if len(text) <= CHARACTERS_MAX else f"{text[:CHARACTERS_MAX]}..."


def _redact_iban(match: re.Match[str]) -> str:
    """Redact what its check digits prove to be an IBAN, and keep a provider's id of that shape."""
    iban = match[0].replace(" ", "")
    number = "".join(str(int(character, 36)) for character in iban[4:] + iban[:4])
    return REDACTED if int(number) % 97 == 1 else match[0]


def _json(event: EventDict, **_: Any) -> str:
    return msgspec.json.encode(event).decode()
