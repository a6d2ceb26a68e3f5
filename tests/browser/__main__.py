"""Drives the console in Chromium, saves what it looks like, ends with 0 only if all is well."""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.browser.site import KEY, browsing, running
from tests.test_up import Up, wait_until
from tests.web.console.conftest import PAGES

_started = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - _started:6.1f} s  {text}", flush=True)  # noqa: T201 - the transcript


def main(folder: Path) -> None:
    """Raise AssertionError at the first thing that is not as it must be."""
    folder.mkdir(parents=True, exist_ok=True)
    with running() as up, browsing() as browser:
        say(f"settled up at {up.url}, Chromium {browser.version}")
        with opened(browser, up) as page:
            sign_in_by_keyboard(page, folder)
            see_every_page(page, folder)
            open_evidence_by_keyboard(page, folder)
            resend_by_keyboard(page, up, folder)
            recover_by_keyboard(page, up, folder)
            see_the_overview_refresh_itself(page)
            sign_out(page, up)
        with opened(browser, up, dark=True) as page:
            see_the_dark(page, folder)
        with opened(browser, up, scripts=False) as page:
            act_without_scripts(page, up, folder)
    say(f"all of it is well; the pictures are in {folder}")


@contextmanager
def opened(browser: Browser, up: Up, *, dark: bool = False, scripts: bool = True) -> Iterator[Page]:
    """Lend a page in a browser that nobody has signed in with; it may complain of nothing."""
    context = browser.new_context(
        base_url=up.url,
        color_scheme="dark" if dark else "light",
        java_script_enabled=scripts,
        viewport={"width": 1280, "height": 800},
    )
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    page = context.new_page()
    page.on("console", note)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    yield page
    context.close()
    assert complaints == [], complaints


def sign_in_by_keyboard(page: Page, folder: Path) -> None:
    page.goto("/console/requests")
    expect(page.locator("input[name=key]")).to_be_focused()
    save(page, folder, "sign-in")
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    expect(page).to_have_title("Requests · settled")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    say("signed in by keyboard, and led on to the page that was asked for")


def see_every_page(page: Page, folder: Path) -> None:
    for path in PAGES:
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        width = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert width <= 0, f"{path} is {width} px wider than the window"
        save(page, folder, path.rpartition("/")[2].replace("console", "overview"))
    say(f"saw {len(PAGES)} pages; none is wider than the window")


def open_evidence_by_keyboard(page: Page, folder: Path) -> None:
    page.goto("/console/requests?status=paid")
    page.locator("tbody th a").first.press("Enter")
    transition = page.locator(".timeline .is-transition summary").last
    transition.press("Enter")
    expect(page.locator(".timeline details[open] dd", has_text="paid").first).to_be_visible()
    link = page.locator(".timeline details[open]").get_by_role("link", name="Provider's answer")
    before = page.url
    link.press("Enter")
    answer = page.locator(".timeline details[open] .opened pre").first
    expect(answer).to_contain_text('"status": "completed"')
    expect(answer).to_contain_text("…")
    assert page.url == before, "it opens in place"
    expect(link).to_be_focused()
    transition.press("Enter")
    read = page.locator(".timeline .is-observation summary").first
    read.press("Enter")
    page.locator(".timeline details[open]").get_by_role("link", name="answer").press("Enter")
    expect(page.locator(".timeline details[open] .opened pre").first).to_be_visible()
    page.get_by_role("heading", name="Timeline").evaluate("heading => heading.scrollIntoView()")
    save(page, folder, "timeline")
    say("opened a transition by keyboard, and in it the provider's answer, redacted")


def resend_by_keyboard(page: Page, up: Up, folder: Path) -> None:
    page.goto("/console/deliveries")
    ticks = page.locator("tbody input[type=checkbox]")
    chosen = [str(ticks.nth(place).get_attribute("value")) for place in (0, 1)]
    for place in (0, 1):
        ticks.nth(place).press("Space")
    page.get_by_role("button", name="Plan to send").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Send 2 again")
    save(page, folder, "resend")
    tried = [len(up.get(f"/v1/deliveries/{each}")["attempts"]) for each in chosen]
    page.get_by_label("Reason").fill("the ERP was restored from a backup")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("On its way again.")
    for each, before in zip(chosen, tried, strict=True):
        wait_until(partial(has_arrived_again, up, each, before))
    [first, second] = up.get("/v1/interventions", did="resend")["data"]
    assert {first["about"], second["about"]} == set(chosen)
    assert first["who"] == "console:ops"
    say("resent two deliveries by keyboard; both arrived again, and who and why is written down")


def recover_by_keyboard(page: Page, up: Up, folder: Path) -> None:
    page.goto("/console/endpoints/erp")
    save(page, folder, "endpoint")
    page.get_by_role("link", name="Plan a recovery").press("Enter")
    page.get_by_label("Since").fill("1h")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2)).to_contain_text("would go out again")
    save(page, folder, "recover")
    page.get_by_label("Reason").fill("the ERP lost its last hour")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Recovery of erp")
    save(page, folder, "recovery")
    # Nothing loads the page again: htmx follows the progress.
    expect(page.locator("h1 .status")).to_have_text("finished", timeout=60_000)
    [recovery] = up.get("/v1/recover")["data"]
    assert recovery["planned"] == recovery["delivered"] > 0, recovery
    told = f"{recovery['planned']} of {recovery['planned']}"
    expect(page.locator("#progress")).to_contain_text(told)
    [act] = up.get("/v1/interventions", did="recover")["data"]
    assert (act["who"], act["reason"]) == ("console:ops", "the ERP lost its last hour")
    say(f"recovered an endpoint by keyboard: planned, confirmed and followed to {told}")


def has_arrived_again(up: Up, delivery_id: str, before: int) -> bool:
    delivery = up.get(f"/v1/deliveries/{delivery_id}")
    return delivery["state"] == "delivered" and len(delivery["attempts"]) > before


def see_the_overview_refresh_itself(page: Page) -> None:
    page.goto("/console")
    link = page.locator("#lane-erp")
    link.focus()
    with page.expect_response(lambda answer: "hx-request" in answer.request.headers):
        pass
    expect(link).to_be_focused()
    say("the overview refreshed itself, and the link that had the focus still has it")


def sign_out(page: Page, up: Up) -> None:
    [taken] = page.context.cookies()
    page.get_by_role("button", name="Sign out").press("Enter")
    expect(page).to_have_title("Sign in · settled")
    name, value = taken["name"], taken["value"]
    page.context.add_cookies([{"name": name, "value": value, "url": f"{up.url}/console"}])
    page.goto("/console")
    expect(page).to_have_title("Sign in · settled")
    say("signed out; the cookie of the session that ended opens nothing any more")


def see_the_dark(page: Page, folder: Path) -> None:
    sign_in(page)
    lightness = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert lightness == "rgb(19, 23, 22)", lightness
    save(page, folder, "overview-dark")
    page.goto("/console/requests?status=paid")
    page.locator("tbody th a").first.click()
    page.locator(".timeline .is-event summary").last.click()
    page.locator(".timeline details[open]").get_by_role("link", name="Body").click()
    expect(page.locator(".timeline details[open] .opened pre").first).to_be_visible()
    page.get_by_role("heading", name="Timeline").evaluate("heading => heading.scrollIntoView()")
    save(page, folder, "timeline-dark")
    page.goto("/console/endpoints/erp")
    save(page, folder, "endpoint-dark")
    say("dark where the system is dark")


def act_without_scripts(page: Page, up: Up, folder: Path) -> None:
    sign_in(page)
    for path in PAGES:
        page.goto(path)
        expect(page.locator("h1").first).to_be_visible()
    page.goto("/console/requests?status=paid")
    page.locator("tbody th a").first.click()
    page.locator(".timeline .is-transition summary").last.click()
    page.get_by_role("link", name="Provider's answer").locator("visible=true").first.click()
    expect(page.locator("h1")).to_have_text("Provider's answer")
    expect(page.locator(".evidence pre").first).to_contain_text('"status": "completed"')
    save(page, folder, "without-scripts-evidence")
    for act, state in (("Pause", "paused"), ("Resume", "draining")):
        page.goto("/console/endpoints/erp")
        form = page.locator(f"form[action$={act.lower()}]")
        form.get_by_label("Reason").fill("trying it without scripts")
        form.get_by_role("button", name=act).click()
        assert up.get("/v1/endpoints")["data"][0]["state"] in (state, "open"), act
        save(page, folder, f"without-scripts-{act.lower()}")
    say("opened evidence, paused and resumed an endpoint without JavaScript")


def sign_in(page: Page) -> None:
    page.goto("/console")
    page.get_by_label("API key").fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_title("Overview · settled")


def save(page: Page, folder: Path, name: str) -> None:
    page.screenshot(path=folder / f"{name}.png")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(Path(arguments[0] if arguments else tempfile.mkdtemp(prefix="settled-console-")))
