"""What a process has in hand: webhooks and everything else, each counted apart.

A caller who waits for news holds his call for a minute, and a page of the console waits for the
database; neither is a reason to refuse a webhook.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

WEBHOOKS = b"/webhooks/"


class Room:
    """Counts the calls that app is working on.

    A call is counted from when it begins, a turn of the event loop after it was let in.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.webhooks = 0
        self.others = 0
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if scope["raw_path"].startswith(WEBHOOKS):
            self.webhooks += 1
            try:
                return await self._app(scope, receive, send)
            finally:
                self.webhooks -= 1
        self.others += 1
        try:
            return await self._app(scope, receive, send)
        finally:
            self.others -= 1
