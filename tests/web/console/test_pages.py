"""Every page, over rows in every state, hostile words among them."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.domain.status import Status
from service.runtime import Runtime
from tests.web.console.conftest import PAGES, Visitor, links_in, running, text_in, visiting
from tests.web.console.seed import HOSTILE, id_of, seed


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def full(shared_url: str) -> AsyncIterator[Runtime]:
    """A runtime whose tables hold a row in every state."""
    async with running(shared_url) as opened:
        await seed(opened)
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def reader(full: Runtime) -> AsyncIterator[Visitor]:
    async with visiting(full) as visitor:
        yield visitor


async def walked(visitor: Visitor) -> dict[str, str]:
    """Return every page that links lead to from the first one, each of which is there."""
    pages: dict[str, str] = {}
    left = {"/console"}
    while left:
        path = left.pop()
        if path.startswith("/console/static/"):
            pages[path] = ""
            assert (await visitor.client.get(path)).status_code == 200
        else:
            pages[path] = await visitor.page(path)
            left |= links_in(pages[path])
        left -= pages.keys()
    return pages


async def test_every_link_of_every_page_leads_somewhere_and_no_word_becomes_markup(
    reader: Visitor,
) -> None:
    pages = await walked(reader)

    assert set(PAGES) < set(pages)
    assert len(pages) > 80
    for path, page in pages.items():
        assert "<script>" not in page, path
        assert re.findall(r"<script[^>]*>", page) == re.findall(
            r'<script src="/console/static/htmx.min.js\?v=[0-9a-f]{12}" defer>', page
        )
        assert not re.search(r"<[^>]+\son[a-z]+=", page), path
        assert "style=" not in page, path
        assert page.count("</title>") == bool(page), path
        assert not re.search(r"(?<!7\*)49\b.{0,10}&lt;/title", page), path
    assert any("&lt;script&gt;alert(1)" in page for page in pages.values())


async def test_the_first_page_leads_with_all_that_needs_attention(reader: Visitor) -> None:
    text = text_in(await reader.page("/console"))

    needs, behind = text.split("How far behind")
    assert "ginger-nl is silent : no word" in needs
    assert "lane-on_hold is on hold" in needs
    assert "1 to erp" in needs
    assert "1 request late_money" in needs
    assert "1 order overpaid" in needs
    assert "1 at ginger-nl unclaimed" in needs
    assert "3 missed" in needs
    assert "1, the oldest since 2 h ago" in behind


@pytest.mark.parametrize("status", Status)
async def test_a_list_is_narrowed_by_what_its_address_says(reader: Visitor, status: Status) -> None:
    page = await reader.page(f"/console/requests?status={status}&account=&reference=")

    assert f"at-{status}" in page
    others = {other for other in Status if other is not status and f">at-{other}<" in page}
    assert not others


@pytest.mark.parametrize(
    ("path", "found", "left_out"),
    [
        ("/console/requests?attention=yes", "late_money", "at-paid"),
        ("/console/requests?reference=INV-0", "at-paid", "never-read"),
        ("/console/requests?provider_id=never-read", "never-read", "at-paid"),
        ("/console/requests?account=ginger-nl", "at-paid", "No request is like that"),
        ("/console/orders?q=inv-1", "INV-10", "INV-2"),
        ("/console/orders?q=%25", "No order is like that", "INV-1"),
        ("/console/orders?attention=yes", "overpaid</span>", "INV-1"),
        ("/console/deliveries?state=dead", id_of("dlv", 2), id_of("dlv", 1)),
        ("/console/deliveries?reference=INV-0&state=waiting", id_of("dlv", 80), id_of("dlv", 2)),
        ("/console/events?verdict=refused", "is-refused", "is-accepted"),
        ("/console/acts?did=replay", "console:", "Nobody did"),
        ("/console/reconciles?account=ginger-nl&state=finished", "ginger-nl", "No run is"),
    ],
)
async def test_filters_show_what_fits_and_nothing_else(
    reader: Visitor, path: str, found: str, left_out: str
) -> None:
    page = (await reader.page(path)).partition("<tbody>")[2]

    assert found in page
    assert left_out not in page


async def test_pages_of_a_list_go_on_and_keep_the_filter(reader: Visitor, full: Runtime) -> None:
    async with full.pool.connection() as connection:
        await connection.execute(
            "insert into requests (id, account, kind, provider_id)"
            " select 'prq_more' || n, 'of-many', 'order', n from generate_series(1, 120) as n"
        )
    path: str | None = "/console/requests?account=of-many"
    seen: list[str] = []
    while path:
        page = await reader.page(path)
        seen += re.findall(r'<th scope="row"><a class="id" href="/console/requests/(\w+)"', page)
        following = [link for link in links_in(page) if "cursor=" in link]
        path = following[0] if following else None
        assert path is None or "account=of-many" in path

    assert len(seen) == len(set(seen)) == 120


async def test_a_timeline_opens_the_evidence_of_each_entry(reader: Visitor) -> None:
    page = await reader.page(f"/console/requests/{id_of('prq', 80)}")

    entries = re.findall(r'<li class="is-(\w+)">\s*<details>', page)
    assert set(entries) == {
        "event", "observation", "transition", "notification", "attempt", "intervention",
        "acknowledgement",
    }  # fmt: skip
    assert "01" * 32 in page


async def test_an_order_shows_its_rule_its_requests_and_what_persons_decided(
    reader: Visitor,
) -> None:
    text = text_in(await reader.page("/console/order?reference=INV-0"))

    assert "Rule unpaid" in text
    assert "at-paid ginger-nl order paid 40.00 EUR" in text


async def test_the_status_table_counts_what_is_at_each(reader: Visitor) -> None:
    page = await reader.page("/console/statuses")

    assert re.search(r'href="/console/requests\?status=expired">1</a>', page)


async def test_a_viewer_sees_all_pages_and_no_form_that_acts(
    full: Runtime,
) -> None:
    async with visiting(full, role="viewer") as viewer:
        pages = await walked(viewer)

    forms = {
        form
        for page in pages.values()
        for form in re.findall(r'method="post" action="([^"]*)"', page)
    }
    assert forms == {"/console/sign-out"}
    assert HOSTILE not in "".join(pages.values())
