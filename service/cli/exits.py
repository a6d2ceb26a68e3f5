"""What the command's exit codes mean, and which error leads to which.

0  fine                            1  unexpected
2  usage                           3  configuration invalid
4  dependency unreachable          5  not found
6  checked and found a problem     7  refused without --yes or --force
130  interrupted

Source: CONTRACT.md, section 2.
"""

from service.errors import Misconfigured, NotFound, Unavailable, UnknownAccount

UNEXPECTED = 1
INTERRUPTED = 130


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
