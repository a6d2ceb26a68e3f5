"""Idempotency-Key: the same POST sent twice acts once and answers alike."""

import hashlib
import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from service.errors import Malformed, Refused, Unavailable
from service.settings import ApiKey
from service.storage.database import Pool
from service.storage.idempotency import Answered, Guarded, begin, finish, release

_KEY = re.compile(r"[ -~]{1,255}", re.ASCII)

Post = Callable[[Request, bytes], Awaitable[Response]]


async def once(request: Request, body: bytes, *, caller: ApiKey, pool: Pool, act: Post) -> Response:
    """Answer a POST, or repeat the answer that its Idempotency-Key has had.

    A call that is refused, or that we could not carry out, keeps no answer: it did nothing, and
    may come again under the same key.
    """
    guarded = _guarded(request, body, caller)
    if guarded is None:
        return await act(request, body)
    answered = await begin(pool, guarded)
    if answered is not None:
        return _again(answered)
    try:
        response = await act(request, body)
    except (Refused, Unavailable):
        await release(pool, guarded)
        raise
    etag = response.headers.get("etag")
    await finish(pool, guarded, Answered(response.status_code, bytes(response.body), etag))
    return response


def _guarded(request: Request, body: bytes, caller: ApiKey) -> Guarded | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise Malformed(
            "Idempotency-Key: expected 1 to 255 printable ASCII characters", code="bad_header"
        )
    call = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return Guarded(caller.name, key, hashlib.sha256(call + body).digest())


def _again(answered: Answered) -> Response:
    headers = {"idempotency-replayed": "true"}
    if answered.etag is not None:
        headers["etag"] = answered.etag
    return Response(
        answered.body, answered.status_code, headers=headers, media_type="application/json"
    )
