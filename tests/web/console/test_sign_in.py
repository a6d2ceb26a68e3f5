"""Into the console and out of it: cookies, headers, wrong keys, other sites, roles."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from starlette.routing import Route

from service.runtime import Runtime
from service.storage.signed_out import end_session, is_ended
from service.web.console.failures import FAILURES_MAX
from service.web.console.routes import console_routes
from tests.web.conftest import KEYS, client_of
from tests.web.console.conftest import Visitor, token_in, visiting

SIGN_IN = "/console/sign-in"
OPEN = (SIGN_IN, "/console/sign-out", "/console/static/{name}")


def paths(method: str) -> list[str]:
    """Return a path for each route of the console that takes a session."""
    return [
        route.path.replace("{path:path}", "none").replace("{", "").replace("}", "")
        for route in console_routes()
        if isinstance(route, Route) and route.path not in OPEN and method in (route.methods or ())
    ]


@pytest.mark.parametrize("path", paths("GET"))
async def test_no_page_opens_without_a_session(offline_runtime: Runtime, path: str) -> None:
    async with client_of(offline_runtime) as client:
        answer = await client.get(path)

    assert answer.status_code == 303
    assert answer.headers["location"].startswith(SIGN_IN)


@pytest.mark.parametrize("path", paths("POST"))
async def test_nobody_acts_without_a_session(offline_runtime: Runtime, path: str) -> None:
    async with client_of(offline_runtime, key=KEYS["operator"]) as client:
        answer = await client.post(path, data={"reason": "why not"})

    assert (answer.status_code, answer.headers["location"]) == (303, SIGN_IN)


@pytest.mark.parametrize("path", paths("POST"))
async def test_a_viewer_does_not_act(offline_runtime: Runtime, path: str) -> None:
    async with visiting(offline_runtime, role="viewer") as viewer:
        answer = await viewer.client.post(path, data={"reason": "why not"})

    assert answer.status_code == 403
    assert "takes the role &#34;operator&#34;" in answer.text


@pytest.mark.parametrize("path", paths("POST"))
@pytest.mark.parametrize("token", ["", "0" * 64])
async def test_a_form_without_the_token_of_its_session_does_nothing(
    offline_runtime: Runtime, path: str, token: str
) -> None:
    async with visiting(offline_runtime) as operator:
        answer = await operator.client.post(path, data={"reason": "why not", "token": token})

    assert answer.status_code == 403
    assert "bad_form_token" in answer.text


async def test_the_token_of_another_session_does_nothing(runtime: Runtime) -> None:
    async with visiting(runtime) as one, visiting(runtime) as other:
        answer = await one.client.post(
            "/console/endpoints/erp/pause", data={"token": await other.token(), "reason": "mine"}
        )

    assert answer.status_code == 403


async def test_a_session_leads_to_where_somebody_wanted_to_go(runtime: Runtime) -> None:
    async with client_of(runtime, key=None) as client:
        asked = await client.get("/console/requests?status=paid")
        form = await client.get(asked.headers["location"])
        assert 'name="next" value="/console/requests?status=paid"' in form.text

        entered = await client.post(
            SIGN_IN, data={"key": KEYS["viewer"], "next": "/console/requests?status=paid"}
        )

    assert entered.headers["location"] == "/console/requests?status=paid"


@pytest.mark.parametrize(
    "onward",
    ["https://evil.example", "//evil.example", "/console/../v1", "/\\evil", "/console@evil",
     "/console.evil.example", "/console/\r\nset-cookie: a=b"],
)  # fmt: skip
async def test_a_sign_in_leads_to_no_other_place(offline_runtime: Runtime, onward: str) -> None:
    async with client_of(offline_runtime, key=None) as client:
        entered = await client.post(SIGN_IN, data={"key": KEYS["viewer"], "next": onward})

    assert entered.headers["location"] == "/console"


@pytest.mark.parametrize(
    ("host", "is_secure"),
    [("settled", True), ("192.0.2.1:8080", True), ("127.0.0.1:8080", False),
     ("[::1]:8080", False), ("localhost", False)],
)  # fmt: skip
async def test_a_session_cookie_is_for_this_site_and_no_script(
    offline_runtime: Runtime, host: str, is_secure: bool
) -> None:
    async with client_of(offline_runtime, key=None) as client:
        entered = await client.post(SIGN_IN, data={"key": KEYS["viewer"]}, headers={"host": host})

    parts = entered.headers["set-cookie"].lower().split("; ")
    assert {"httponly", "samesite=strict", "path=/console"} < set(parts)
    assert ("secure" in parts) is is_secure
    assert KEYS["viewer"] not in entered.headers["set-cookie"]


@pytest.mark.parametrize("key", ["wrong", "", "key-of-a-viewe", " ", "\x00"])
async def test_a_wrong_key_opens_nothing(offline_runtime: Runtime, key: str) -> None:
    async with client_of(offline_runtime, key=None) as client:
        answer = await client.post(SIGN_IN, data={"key": key})

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "No such key." in answer.text


async def test_who_presents_many_wrong_keys_waits_even_with_the_right_one(
    offline_runtime: Runtime,
) -> None:
    async with client_of(offline_runtime, key=None) as client:
        for _ in range(FAILURES_MAX):
            await client.post(SIGN_IN, data={"key": "wrong"})
        answer = await client.post(SIGN_IN, data={"key": KEYS["operator"]})

    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 900


async def test_a_form_from_another_site_signs_nobody_in(offline_runtime: Runtime) -> None:
    for origin in ("https://evil.example", "null"):
        async with client_of(offline_runtime, key=None) as client:
            answer = await client.post(
                SIGN_IN, data={"key": KEYS["operator"]}, headers={"origin": origin}
            )
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


async def test_a_form_of_ours_signs_in_under_its_origin(offline_runtime: Runtime) -> None:
    async with client_of(offline_runtime, key=None) as client:
        answer = await client.post(
            SIGN_IN, data={"key": KEYS["operator"]}, headers={"origin": "http://settled"}
        )

    assert answer.status_code == 303


async def test_signing_out_takes_the_cookie_away_and_takes_the_token(operator: Visitor) -> None:
    other_site = await operator.client.post("/console/sign-out", data={"token": "0" * 64})
    ours = await operator.client.post("/console/sign-out", data={"token": await operator.token()})

    assert "set-cookie" not in other_site.headers
    assert ours.headers["location"] == SIGN_IN
    assert 'settled_session=""' in ours.headers["set-cookie"]


async def test_a_session_that_was_signed_out_of_opens_nothing_and_others_go_on(
    runtime: Runtime, operator: Visitor
) -> None:
    async with visiting(runtime) as elsewhere:
        taken, token = httpx.Cookies(operator.client.cookies), await operator.token()
        await operator.client.post("/console/sign-out", data={"token": token})
        operator.client.cookies = taken

        page = await operator.client.get("/console")
        act = await operator.client.post(
            "/console/endpoints/erp/pause", data={"token": token, "reason": "why not"}
        )
        assert await elsewhere.page("/console")

    assert page.headers["location"].startswith(SIGN_IN)
    assert act.headers["location"].startswith(SIGN_IN)


async def test_signing_out_forgets_sessions_whose_cookies_have_ended(runtime: Runtime) -> None:
    now = datetime.now(UTC)
    await end_session(runtime.pool, b"old", ends_at=now - timedelta(seconds=1))

    for _ in range(2):
        await end_session(runtime.pool, b"new", ends_at=now + timedelta(hours=1))

    assert not await is_ended(runtime.pool, b"old")
    assert await is_ended(runtime.pool, b"new")


async def test_signing_out_without_the_database_says_what_it_did(offline_runtime: Runtime) -> None:
    async with visiting(offline_runtime) as operator:
        token = token_in((await operator.client.get("/console")).text)
        answer = await operator.client.post("/console/sign-out", data={"token": token})

    assert answer.status_code == 503
    assert 'settled_session=""' in answer.headers["set-cookie"]
    assert "ends by itself within 12 hours" in answer.text


@pytest.mark.parametrize("path", [SIGN_IN, "/console", "/console/none", "/console/requests/none"])
async def test_every_page_forbids_foreign_scripts_frames_and_copies(
    operator: Visitor, path: str
) -> None:
    answer = await operator.client.get(path)

    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


async def test_a_refresh_after_the_session_ended_leads_to_the_sign_in_as_a_whole(
    offline_runtime: Runtime,
) -> None:
    async with client_of(offline_runtime, key=None) as client:
        answer = await client.get("/console", headers={"hx-request": "true"})

    assert answer.headers["hx-redirect"] == SIGN_IN


async def test_files_are_open_to_all_and_kept_by_their_content(
    offline_runtime: Runtime,
) -> None:
    async with client_of(offline_runtime, key=None) as client:
        sheet = await client.get("/console/static/console.css")
        script = await client.get("/console/static/htmx.min.js")
        other = await client.get("/console/static/app.py")

    assert sheet.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in script.headers["cache-control"]
    assert script.text.startswith("/*! htmx 2.0.4")
    assert other.status_code == 404


async def test_a_database_that_is_away_is_a_page_that_says_so(offline_runtime: Runtime) -> None:
    async with visiting(offline_runtime) as operator:
        answer = await operator.client.get("/console")

    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert token_in(answer.text)
