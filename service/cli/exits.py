"""What the command's exit codes mean, and which error leads to which.

Source: CONTRACT.md, section 2.
"""

from service.errors import Misconfigured, NotFound, Unavailable, UnknownAccount

UNEXPECTED = 1
INTERRUPTED = 130

MEANINGS = {
    0: "fine",
    UNEXPECTED: "unexpected",
    2: "usage",
    3: "configuration invalid",
    4: "something needed cannot be reached",
    5: "not found",
    6: "checked, and found a problem",
    7: "refused without --yes or --force",
    INTERRUPTED: "interrupted",
}


class ProblemFound(Exception):
    """The check itself went well and what it looked at did not: drift, a bad signature."""


class NotConfirmed(Exception):
    """A verb that is hard to undo was called without the option that confirms it."""


EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (Misconfigured, 3),
    (Unavailable, 4),
    (NotFound, 5),
    (UnknownAccount, 5),
    (ProblemFound, 6),
    (NotConfirmed, 7),
)


def exit_code_of(error: Exception) -> int:
    """Return the exit code that error stands for."""
    for kind, code in EXIT_CODES:
        if isinstance(error, kind):
            return code
    return UNEXPECTED
