"""Runs the sandbox on a socket until it is told to stop."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
import uvicorn

from service.sandbox.app import create_app
from service.sandbox.twins import open_account


class Server(uvicorn.Server):
    """Says when it listens; a signal ends it cleanly instead of being raised again."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[str], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the one line that a waiting script looks for."""
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            self._announce(f"ready http://{shown}:{port}")

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Turn SIGTERM and Ctrl-C into an orderly end with exit code 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def serve(
    host: str,
    port: int,
    *,
    announce: Callable[[str], None],
    accounts: Iterable[Mapping[str, object]] = (),
    erp_secrets: Iterable[str] = (),
) -> None:
    """Serve until SIGTERM or Ctrl-C; port 0 takes a free one.

    accounts are opened and erp_secrets accepted from the start. Raises OSError when the address
    is taken, ValueError for an account that cannot be opened.
    """
    app = create_app()
    for settings in accounts:
        open_account(app.state.world, msgspec.json.encode(settings))
    app.state.world.erp.secrets = list(erp_secrets)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
    )
    with socket.create_server((host, port), family=family, backlog=2048) as listener:
        Server(config, announce).run(sockets=[listener])
