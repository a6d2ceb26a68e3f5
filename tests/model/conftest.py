"""One model for all tests here: a database and a loop of its own, put back before each use."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import count

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from service.embedded import Urls
from tests.model.rest import model_on
from tests.model.world import Model

_numbers = count(1)


@pytest.fixture(scope="package")
def runner() -> Iterator[asyncio.Runner]:
    """The loop that the models live on: the state machine is no coroutine."""
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(scope="package")
def alone(servers: Urls, template: str, runner: asyncio.Runner) -> Iterator[Model]:
    """A model of one order whose provider has versions."""
    yield from _lent(servers, template, runner, with_ing=False)


@pytest.fixture(scope="package")
def pair(servers: Urls, template: str, runner: asyncio.Runner) -> Iterator[Model]:
    """A model of an order with two requests, one of them without versions and without calls."""
    yield from _lent(servers, template, runner, with_ing=True)


def _lent(
    servers: Urls, template: str, runner: asyncio.Runner, *, with_ing: bool
) -> Iterator[Model]:
    name = f"settled_model_{next(_numbers)}"
    with psycopg.connect(servers.postgres, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}".encode())
        urls = Urls(make_conninfo(servers.postgres, dbname=name), servers.redis)
        stack = AsyncExitStack()
        model = runner.run(stack.enter_async_context(model_on(urls, with_ing=with_ing)))
        yield model
        runner.run(stack.aclose())
        connection.execute(f"drop database {name} with (force)".encode())
