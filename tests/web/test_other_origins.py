"""Pages of other origins: no answer is open to them, and nothing that they send does anything."""

import re
from collections.abc import Iterator

import pytest
from starlette.routing import Route

from service.runtime import Runtime
from service.web.app import create_app
from tests.web.conftest import KEYS, client_of, not_opened
from tests.web.console.conftest import visiting

ELSEWHERE = {"origin": "https://elsewhere.example"}

# What a browser sends to another origin without asking first.
FORM_TYPES = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain"]


def paths_of(method: str | None = None) -> Iterator[str]:
    """Return an address of every route, or of every one that takes a method."""
    if method is None:
        yield from ("/webhooks/x", "/webhooks/x/x")
    for route in create_app(not_opened).routes:
        assert isinstance(route, Route)
        if method is None or method in (route.methods or ()):
            yield re.sub(r"{[^}]*}", "x", route.path)


async def test_no_answer_is_open_to_another_origin(offline_runtime: Runtime) -> None:
    async with visiting(offline_runtime) as visitor, client_of(offline_runtime) as caller:
        answers = [
            await client.request(method, path, headers=ELSEWHERE)
            for client in (visitor.client, caller)
            for path in paths_of()
            for method in ("GET", "POST", "PATCH", "OPTIONS")
        ]

    assert len({answer.status_code for answer in answers}) > 5
    named = {name for answer in answers for name in answer.headers}
    assert not {name for name in named if name.startswith("access-control-")}


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
async def test_a_browser_that_asks_first_is_refused(offline_runtime: Runtime, method: str) -> None:
    asking = {
        **ELSEWHERE,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization, content-type",
    }
    async with client_of(offline_runtime, key=None) as browser:
        answers = {path: await browser.options(path, headers=asking) for path in paths_of()}

    assert len(answers) > 50
    assert {path: each.status_code for path, each in answers.items()} == dict.fromkeys(answers, 405)


async def test_a_form_of_another_origin_does_nothing_at_the_console(
    offline_runtime: Runtime,
) -> None:
    async with visiting(offline_runtime) as visitor:
        token = {"token": "0" * 64}
        answers = {
            path: await visitor.client.post(path, data=token, headers=ELSEWHERE)
            for path in paths_of("POST")
            if path.startswith("/console")
        }

    assert len(answers) > 10
    assert {path: each.status_code for path, each in answers.items()} == dict.fromkeys(answers, 403)
    assert not {path for path, each in answers.items() if "set-cookie" in each.headers}


@pytest.mark.parametrize("content_type", FORM_TYPES)
async def test_a_form_of_another_origin_does_nothing_at_the_api(
    offline_runtime: Runtime, content_type: str
) -> None:
    posts = [path for path in paths_of("POST") if path.startswith("/v1/")]
    sent = {**ELSEWHERE, "content-type": content_type}
    async with (
        visiting(offline_runtime) as visitor,
        client_of(offline_runtime, key=KEYS["operator"]) as caller,
    ):
        by_cookie = [await visitor.client.post(each, content=b"x", headers=sent) for each in posts]
        by_key = [await caller.post(each, content=b"x", headers=sent) for each in posts]

    assert len(posts) > 10
    assert {answer.status_code for answer in by_cookie} == {401}
    assert {answer.status_code for answer in by_key} == {415}
