"""Every error we raise on purpose, named by what the catcher must do.

Refused            answer with its status_code and forget
|- UnknownAccount  404, also for a wrong path token: the two look the same
|- BadSignature    401, or what the provider expects
|- Malformed       400
|- TooLarge        413
|- Unsupported     415
|- Unauthenticated 401, Forbidden 403, NotFound 404, Conflict 409, Stale 412, Gone 410
Unavailable        try later, after retry_after_seconds when told
|- NotAllowedYet   the call budget is used up or the account is paused; not the provider's fault
|- TooManyCalls    the provider said 429: the account pauses for all workers
Rejected           set aside with a code: parked, attention or dead letter
|- Unreadable      the provider answered something that we cannot read
|- NotFoundThere   the provider knows no such thing (404)
|- Unauthorised    the provider does not accept our credentials (401, 403): pauses the account
|- AddressRefused  a URL leads to an address that we never connect to
Misconfigured      stop at start-up: names file, key and what was expected

Raise a leaf, catch a branch. Anything outside this tree is a bug: it ends the attempt, and the
lease on the row brings the work back.
"""


class SettledError(Exception):
    """Root of the tree; never raised itself."""


class Refused(SettledError):
    """The caller sent something that we will not take; sending it again does not help."""

    status_code = 400
    code = "refused"

    def __init__(
        self, detail: str = "", *, code: str | None = None, status_code: int | None = None
    ) -> None:
        super().__init__(detail or self.code)
        self.detail = detail
        self.code = code or self.code
        self.status_code = status_code or self.status_code


class UnknownAccount(Refused):
    """No such account, or not with this path token: indistinguishable on purpose."""

    status_code = 404
    code = "not_found"


class BadSignature(Refused):
    status_code = 401
    code = "bad_signature"


class Malformed(Refused):
    status_code = 400
    code = "malformed"


class TooLarge(Refused):
    status_code = 413
    code = "too_large"


class Unsupported(Refused):
    status_code = 415
    code = "unsupported_encoding"


class Unauthenticated(Refused):
    status_code = 401
    code = "unauthenticated"


class Forbidden(Refused):
    status_code = 403
    code = "forbidden"


class NotFound(Refused):
    status_code = 404
    code = "not_found"


class Conflict(Refused):
    status_code = 409
    code = "conflict"


class Stale(Refused):
    """If-Match named a version that is no longer the newest."""

    status_code = 412
    code = "version_mismatch"


class Gone(Refused):
    """A cursor to what is no longer kept; oldest is the first behind which nothing is missing."""

    status_code = 410
    code = "gone"

    def __init__(self, detail: str, *, oldest: str) -> None:
        super().__init__(detail)
        self.oldest = oldest


class Unavailable(SettledError):
    """Something we need is away for now: try again later."""

    def __init__(self, detail: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds


class NotAllowedYet(Unavailable):
    """The account's call budget is used up, or the account is paused: wait, count no error."""


class TooManyCalls(Unavailable):
    """The provider said 429: slow the whole account down, not this worker."""


class Rejected(SettledError):
    """A piece of work that cannot be applied as it is; set it aside under its code."""

    code = "rejected"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code


class Unreadable(Rejected):
    code = "unreadable_answer"


class NotFoundThere(Rejected):
    code = "not_found_at_provider"


class Unauthorised(Rejected):
    code = "unauthorised"


class AddressRefused(Rejected):
    code = "address_refused"


class Misconfigured(SettledError):
    """The configuration, or the machine, does not allow a start; the message says what to do."""
