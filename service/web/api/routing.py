"""One route per path: checks the key, reads the body, and calls the one handler of the method."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.errors import TooLarge, Unsupported
from service.runtime import Runtime
from service.settings import Role
from service.web.api.once import Post, once
from service.web.security import authorise

Get = Callable[[Request], Awaitable[Response]]

BODY_BYTES_MAX = 256 * 1024


def resource(
    path: str,
    *,
    get: Get | None = None,
    post: Post | None = None,
    patch: Post | None = None,
    acts_as: Role = "erp",
) -> Route:
    """Return the route of a path: a viewer may read it, POST and PATCH take the role acts_as.

    What a POST answers is repeated for the same Idempotency-Key; a PATCH names a version instead.
    The handler finds the key that the caller presents as request.user.
    """

    async def answer(request: Request) -> Response:
        here: Runtime = request.state.runtime
        writes = request.method in ("POST", "PATCH")
        caller = authorise(
            request.headers.get("authorization"),
            here.settings.settled.api_keys,
            at_least=acts_as if writes else "viewer",
        )
        request.scope["user"] = caller
        if request.method == "PATCH" and patch is not None:
            return await patch(request, await read_json_body(request))
        if writes and post is not None:
            body = await read_json_body(request)
            return await once(request, body, caller=caller, pool=here.pool, act=post)
        assert get is not None, "Starlette lets only the methods below through"
        return await get(request)

    handlers = {"GET": get, "POST": post, "PATCH": patch}
    return Route(path, answer, methods=[name for name, handler in handlers.items() if handler])


async def read_json_body(request: Request) -> bytes:
    """Return the body. Raises TooLarge beyond 256 KiB, Unsupported when it claims not to be JSON.

    An empty body needs no type, and a missing type counts as JSON.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Unsupported("send the body as it is, without Content-Encoding")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise TooLarge(f"a body has at most {BODY_BYTES_MAX} bytes")
    if body and kind.lower() != "application/json":
        raise Unsupported("expected Content-Type: application/json", code="unsupported_media_type")
    return bytes(body)
