"""The calls in deploy/ERP.md and README.md, made as they stand there, one after the other."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from string import Template

import httpx

from service.runtime import Runtime
from tests.deploy.files import DEPLOY, lines
from tests.web.conftest import KEYS, client_of


async def test_the_calls_for_the_erp_engineer_do_what_the_page_says(runtime: Runtime) -> None:
    known = {"URL": "http://settled", "KEY": KEYS["operator"], "CURSOR": "f0"}

    answers = await answers_to(DEPLOY / "ERP.md", runtime, known)

    assert answers == [
        ("POST", "/v1/orders", 201),
        ("POST", "/v1/requests", 201),
        ("POST", f"/v1/requests/{known['REQUEST']}/link", 200),
        ("GET", "/v1/orders/INV-1043", 200),
        ("PATCH", "/v1/orders/INV-1043", 200),
        ("POST", "/v1/orders/INV-1043/acknowledge", 409),
        ("GET", "/v1/changes", 200),
        ("GET", "/v1/changes", 200),
    ]


async def test_the_call_of_the_first_five_minutes_registers_an_order(runtime: Runtime) -> None:
    answers = await answers_to(DEPLOY.parent / "README.md", runtime, {"OPS_KEY": KEYS["operator"]})

    assert answers == [("POST", "/v1/orders", 201)]


async def answers_to(
    page: Path, runtime: Runtime, known: dict[str, str]
) -> list[tuple[str, str, int]]:
    """Make each call of a page; return method, path and status of each.

    known are the variables of the shell. ETAG and REQUEST join them where an answer has them.
    """
    answers = []
    async with client_of(runtime, key=None) as client:
        for line in lines(page):
            if not line.startswith("curl "):
                continue
            request = called(line, known)
            answer = await client.send(request)
            answers.append((request.method, request.url.path, answer.status_code))
            if "etag" in answer.headers:
                known["ETAG"] = answer.headers["etag"]
            if request.url.path == "/v1/requests":
                known["REQUEST"] = answer.json()["id"]
    return answers


def called(line: str, known: Mapping[str, str]) -> httpx.Request:
    """Return the call that a line with curl makes where the shell knows these variables."""
    method, url, headers, content = "", "", {}, ""
    words = iter(Template(word).substitute(known) for word in shlex.split(line)[1:])
    for word in words:
        match word:
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-d":
                content = next(words)
            case "-i":
                pass
            case _:
                url = word
    return httpx.Request(
        method or ("POST" if content else "GET"), url, headers=headers, content=content
    )
