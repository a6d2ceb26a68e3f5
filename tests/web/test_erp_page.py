"""The calls in deploy/ERP.md, made as they stand there, one after the other."""

import shlex
from collections.abc import Mapping
from string import Template

import httpx

from service.runtime import Runtime
from tests.deploy.files import DEPLOY, lines
from tests.web.conftest import KEYS, client_of


async def test_the_calls_of_the_page_do_what_it_says_one_after_the_other(runtime: Runtime) -> None:
    known = {"URL": "http://settled", "KEY": KEYS["operator"], "CURSOR": "f0"}
    answers = []
    async with client_of(runtime, key=None) as client:
        for line in lines(DEPLOY / "ERP.md"):
            if not line.startswith("curl"):
                continue
            answer = await client.send(called(line, known))
            answers.append((answer.request.method, answer.request.url.path, answer.status_code))
            if answer.is_success:
                known |= {"ETAG": answer.headers.get("etag", "")}
            if answers[-1][:2] == ("POST", "/v1/requests"):
                known["REQUEST"] = answer.json()["id"]

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
