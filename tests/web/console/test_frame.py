"""Pages of an empty installation, and what all pages share: errors, and the mark of live mode."""

from typing import Literal

import pytest

from service.runtime import Runtime
from tests.web.console.conftest import PAGES, Visitor, in_mode, visiting
from tests.web.console.seed import id_of


async def test_every_page_of_an_empty_installation_is_there(operator: Visitor) -> None:
    for path in PAGES:
        assert await operator.page(path)
    assert "Nothing. Every account and endpoint is fine" in await operator.page("/console")


@pytest.mark.parametrize(
    "path",
    [
        f"/console/requests/{id_of('prq', 77)}", "/console/requests/none", "/console/none",
        "/console/order?reference=none", "/console/order", "/console/events/evt_none",
        f"/console/deliveries/{id_of('dlv', 77)}", "/console/endpoints/none",
        "/console/endpoints/none/recover", f"/console/recoveries/{id_of('rcv', 1)}",
        f"/console/deliveries/resend?id={id_of('dlv', 77)}",
    ],
)  # fmt: skip
async def test_what_is_not_there_is_a_page_that_says_so(operator: Visitor, path: str) -> None:
    answer = await operator.client.get(path)

    assert answer.status_code == 404
    assert "<h1>Not Found</h1>" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/console/requests?status=done", "/console/requests?cursor=x", "/console/orders?q=%00",
        "/console/requests?stauts=paid", "/console/deliveries/resend",
        "/console/endpoints/erp/recover?since=yesterday",
    ],
)  # fmt: skip
async def test_a_bad_parameter_is_a_page_that_names_it(operator: Visitor, path: str) -> None:
    answer = await operator.client.get(path)

    assert answer.status_code == 400
    assert "expected" in answer.text or "unknown" in answer.text or "tick 1" in answer.text


@pytest.mark.parametrize(("mode", "mark"), [("live", "LIVE"), ("test", "TEST")])
async def test_every_page_says_whether_it_is_live(
    runtime: Runtime, mode: Literal["live", "test"], mark: str
) -> None:
    async with visiting(in_mode(runtime, mode)) as visitor:
        pages = [await visitor.page(path) for path in [*PAGES, "/console/sign-in"]]

    assert all(f'<strong class="mode">{mark}</strong>' in page for page in pages)
