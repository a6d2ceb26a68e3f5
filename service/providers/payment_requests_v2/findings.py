"""What a check of an account comes to, with what to do about it. Source: sections 1 and 6."""

from service.providers import Finding


def findings_of(
    may_list: bool, is_visible: bool | None, *, token_is_in_file: bool
) -> tuple[Finding, ...]:
    """Say what the calls of a check showed; is_visible is None where no call told."""
    return (
        Finding("login", ok=True, detail="the token is known"),
        _permission(may_list),
        Finding("webhook", ok=True, detail="the provider calls nobody: requests are polled"),
        _client_account(is_visible),
        _token(token_is_in_file),
    )


def _permission(may_list: bool) -> Finding:
    if may_list:
        return Finding("permission", ok=True, detail="payment requests can be read")
    remedy = "give the token's user access to the payment requests of client_account_id"
    return Finding("permission", ok=False, detail="reading is forbidden (403)", remedy=remedy)


def _client_account(is_visible: bool | None) -> Finding:
    if is_visible is None:
        remedy = "look in the provider's settings which client accounts the token's user may see"
        return Finding("client_account", ok=None, detail="no call tells", remedy=remedy)
    if is_visible:
        return Finding("client_account", ok=True, detail="client_account_id is visible")
    remedy = "correct client_account_id, or make the token as a user who may see it"
    return Finding("client_account", ok=False, detail="it is not visible", remedy=remedy)


def _token(is_in_file: bool) -> Finding:
    """A token lives 24 hours, and no call tells how much of that is left."""
    if is_in_file:
        return Finding("token", ok=True, detail="read again from its file when it is refused")
    detail = "it is in no file, so it ends for good within 24 hours"
    remedy = "name a file in api_token_file and put a new token there every day"
    return Finding("token", ok=None, detail=detail, remedy=remedy)
