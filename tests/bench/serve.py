"""One receiver process: `python -m tests.bench.serve VARIANT PORT CONFIG`.

Every variant runs on the product's own server; several processes may share a port. ours is the
product's own application.
"""

import os
import sys
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from service import settings
from service.runtime import open_runtime
from service.telemetry import logs
from service.web.app import create_app
from service.web.server import run
from tests.bench.plain import celery_of, noop_app, plain_app


def app_of(variant: str, configuration: settings.Settings) -> ASGIApp:
    """Return the application of ours, noop, row or plain."""
    database, redis = configuration.database.url, configuration.redis.url
    assert database is not None, "the benchmark names its servers"
    assert redis is not None, "the benchmark names its servers"

    def opened() -> Any:
        return open_runtime(configuration, role="web")

    match variant:
        case "ours":
            return create_app(opened)
        case "noop":
            return noop_app()
        case "row":
            return plain_app(database.reveal(), None)
        case _:
            return plain_app(database.reveal(), celery_of(redis.reveal()))


if __name__ == "__main__":
    loaded = settings.load(Path(sys.argv[3]), os.environ)
    logs.configure(loaded.settled.log, role="web")
    run(app_of(sys.argv[1], loaded), host="127.0.0.1", port=int(sys.argv[2]), share_port=True)
