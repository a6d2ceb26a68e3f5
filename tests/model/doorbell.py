"""The doorbell as it is, over a real Redis: a ring can be lost, come twice, or die half-way."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from celery.signals import after_task_publish, before_task_publish

from service.nudge import QUEUES, SYNC, Bell
from tests.model.actors import died, passed

_QUEUE = f"settled:{QUEUES[SYNC]}"
_TOKEN = f"settled:rung:{QUEUES[SYNC]}"


class Died(BaseException):
    """The process that rang is no more."""


class Doorbell:
    """Rings for a sync, and hears it. The token's time-out is a step of its own."""

    def __init__(self, redis_url: str) -> None:
        self._bell = Bell(redis_url)
        self._redis = redis.Redis.from_url(redis_url)

    @property
    def messages(self) -> int:
        return int(self._redis.llen(_QUEUE))

    @property
    def has_token(self) -> bool:
        return bool(self._redis.exists(_TOKEN))

    def ring(self, *, dies_at: str | None = None) -> None:
        """Ring; dies_at names the point at which the one who rings is killed."""
        with _dying(dies_at):
            assert self._bell.ring(SYNC), "this Redis answers"
        self._redis.persist(_TOKEN)

    def double(self) -> None:
        """Have the message come twice."""
        self._redis.lpush(_QUEUE, *self._redis.lrange(_QUEUE, 0, 0))

    def lose(self) -> None:
        """Lose all messages; the token stays until its time is over."""
        self._redis.delete(_QUEUE)

    def end_token(self) -> None:
        self._redis.delete(_TOKEN)

    def hear(self) -> bool:
        """Take one message, as a worker does: the token goes before the first claim."""
        if self._redis.rpop(_QUEUE) is None:
            return False
        self._bell.heard(SYNC)
        return True

    def reset(self) -> None:
        self._redis.delete(_QUEUE, _TOKEN)

    def close(self) -> None:
        self.reset()
        self._redis.close()
        self._bell.close()


@contextmanager
def _dying(dies_at: str | None) -> Iterator[None]:
    """Listen to Celery's own signals around a publish, and die at one of them."""

    def pass_mark(**_: Any) -> None:
        _pass("after mark", dies_at)

    def pass_publish(**_: Any) -> None:
        _pass("after publish", dies_at)

    before_task_publish.connect(pass_mark, weak=False)
    after_task_publish.connect(pass_publish, weak=False)
    try:
        yield
    except Died:
        return
    finally:
        before_task_publish.disconnect(pass_mark)
        after_task_publish.disconnect(pass_publish)


def _pass(point: str, dies_at: str | None) -> None:
    passed[f"dispatcher: {point}"] += 1
    if point == dies_at:
        died[f"dispatcher: {point}"] += 1
        raise Died
