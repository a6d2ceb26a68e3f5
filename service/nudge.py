"""Wakes a worker by task name.

A wake-up may be lost: the work lies in PostgreSQL, and beat rings again for whatever is still due.
The Celery application is configured here, because whoever rings and whoever hears must agree.
Every setting stands beside its reason. Source: RELIABILITY.md, sections 0 and 3.1.
"""

import asyncio
import time

import redis
import structlog
from celery import Celery
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from service.telemetry import metrics

log = structlog.get_logger()

SYNC = "settled.sync_requests"
DELIVER = "settled.deliver_notifications"
SWEEP = "settled.sweep"
RECONCILE = "settled.reconcile"

# One queue per task: a worker may be started for one of them alone.
QUEUES = {
    SYNC: "settled.sync",
    DELIVER: "settled.deliver",
    SWEEP: "settled.sweep",
    RECONCILE: "settled.reconcile",
}

# A token in Redis keeps doorbells few: while it lies there, a worker has been rung and has not
# come yet. It ends by itself, so that a ring that was lost is repeated.
TOKEN_MILLISECONDS = 2000

# What lies in the token while a worker looks for work itself, and for how long it holds.
LOOKS_OUT = b"looks out"
LOOKOUT_MILLISECONDS = 1000

# Between two rings of one process: a lone webhook rings at once, a stream 20 times a second.
# A claim, a recording and a commit cost as much for one row as for ten: rung every 5 ms, two
# workers on two cores at 250 webhooks a second took 2.4 times as long to the ERP, and 1.1 times
# the CPU.
RING_SECONDS_MIN = 0.05


def celery_of(redis_url: str) -> Celery:
    """Return the Celery application for a broker; the same for those who ring and who hear."""
    app = Celery("settled", broker=_broker_url(redis_url))
    app.conf.update(
        task_queues=[Queue(name) for name in QUEUES.values()],
        task_default_queue=QUEUES[SYNC],
        task_routes={task: {"queue": queue} for task, queue in QUEUES.items()},
        task_create_missing_queues=False,
        # The lease in PostgreSQL does what late acknowledgement pretends to do; late
        # acknowledgement would let a task that kills its worker kill the next one too.
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        # Nobody waits for a result; result keys would only fill Redis.
        task_ignore_result=True,
        result_backend=None,
        # Messages hold a task name and nothing else; anything else is refused.
        task_serializer="json",
        accept_content=["json"],
        # Prefetched messages die with the worker.
        worker_prefetch_multiplier=1,
        # Remote control keeps a second connection that goes stale, and is an attack surface.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        task_remote_tracebacks=False,
        # The manual's default gives up after 100 tries; a worker must wait for Redis for ever.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=1,
        # Whoever rings never waits long: by default a publish to a hung broker blocks for ever.
        task_publish_retry=False,
        broker_transport_options={
            "visibility_timeout": 60,
            "socket_timeout": 3,
            "socket_connect_timeout": 1,
            "socket_keepalive": True,
            "max_retries": 0,
            "retry_on_timeout": False,
            "health_check_interval": 10,
            "global_keyprefix": "settled:",
        },
    )
    return app


class Bell:
    """Rings workers for one process; every ring may fail, and none blocks for long."""

    def __init__(self, redis_url: str) -> None:
        self._celery = celery_of(redis_url)
        self._redis = redis.Redis.from_url(
            redis_url,
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
            retry=None,
        )

    def ring(self, task: str) -> bool:
        """Send one message for task unless one is on its way; return whether Redis answered.

        Blocks for about a second when Redis is away: call it off the event loop.
        """
        queue = QUEUES[task]
        try:
            if self._redis.set(_token(task), b"1", nx=True, px=TOKEN_MILLISECONDS):
                self._celery.send_task(task, queue=queue, ignore_result=True)
                metrics.WAKES.labels(queue=queue, outcome="sent").inc()
            else:
                metrics.WAKES.labels(queue=queue, outcome="pending").inc()
        except (redis.RedisError, OperationalError, OSError):
            metrics.WAKES.labels(queue=queue, outcome="lost").inc()
            return False
        return True

    def heard(self, task: str) -> None:
        """Take the token away, before the first claim: whatever comes later rings again.

        That of a worker that looks for work itself stays.
        """
        token = _token(task)
        try:
            if self._redis.get(token) != LOOKS_OUT:
                self._redis.delete(token)
        except redis.RedisError:
            log.warning("token.kept", queue=QUEUES[task])

    def take_over(self, task: str) -> bool:
        """Keep everybody from ringing for a second, unless somebody has been rung or does so.

        Returns whether that was done; it is not while Redis is away.
        """
        try:
            return bool(self._redis.set(_token(task), LOOKS_OUT, nx=True, px=LOOKOUT_MILLISECONDS))
        except redis.RedisError:
            return False

    def keep(self, task: str) -> None:
        """Keep everybody from ringing for another second."""
        try:
            self._redis.set(_token(task), LOOKS_OUT, px=LOOKOUT_MILLISECONDS)
        except redis.RedisError:
            log.warning("token.lost", queue=QUEUES[task])

    def give_back(self, task: str) -> None:
        """Have everybody ring again; look for work once more after it."""
        try:
            self._redis.delete(_token(task))
        except redis.RedisError:
            log.warning("token.kept", queue=QUEUES[task])

    def answers(self) -> bool:
        """Return whether the broker answers within a second."""
        try:
            return bool(self._redis.ping())
        except redis.RedisError:
            return False

    def close(self) -> None:
        self._redis.close()
        self._celery.close()


class Waker:
    """Rings from an event loop without ever holding it up.

    At most one ring per task is under way, off the loop; what comes meanwhile rings once more.
    """

    def __init__(self, bell: Bell, task: str) -> None:
        self._bell = bell
        self._task = task
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """Ask for a ring and return at once."""
        self._wanted.set()

    async def run(self) -> None:
        """Ring whenever asked, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            started = time.monotonic()
            await asyncio.to_thread(self._bell.ring, self._task)
            await asyncio.sleep(max(0.0, RING_SECONDS_MIN - (time.monotonic() - started)))


def _token(task: str) -> str:
    return f"settled:rung:{QUEUES[task]}"


def _broker_url(redis_url: str) -> str:
    """Return the address as Celery spells it: redis+socket for what redis-py calls unix."""
    if redis_url.startswith("unix://"):
        return "redis+socket://" + redis_url.removeprefix("unix://")
    return redis_url
