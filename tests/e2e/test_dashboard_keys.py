"""The dashboard of a server with API keys, in a real browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from dev.service import Service, serving
from tests.e2e.browser import needs_browser
from tests.e2e.dashboard_page import Dashboard, watching
from tests.unit.api.callers import as_caller, entry

pytestmark = needs_browser

SCOPES = {"ops": "read+write+admin", "reader": "read", "own": "read:own+write:own"}


@pytest.fixture(scope="module")
def closed() -> Iterator[Service]:
    """A service with a key for each set of scopes."""
    keys = ",".join(entry(name, scopes) for name, scopes in SCOPES.items())
    with serving(workers=1, API_KEYS=keys) as service:
        yield service


@pytest.fixture
def dashboard(closed: Service, browser: Browser) -> Iterator[Dashboard]:
    """The dashboard, which asks for a key."""
    with watching(browser, closed) as dashboard:
        dashboard.page.goto(f"{closed.stack.api_url}/")
        yield dashboard


def give(dashboard: Dashboard, key: str) -> None:
    dashboard.page.get_by_role("textbox", name="API key").fill(key)
    dashboard.page.get_by_role("textbox", name="API key").press("Enter")


def pause(dashboard: Dashboard) -> None:
    dashboard.page.get_by_role("button", name="Pause the queue default").click()
    dashboard.confirm("Pause")


def test_the_page_asks_for_the_key_and_keeps_it_for_the_tab_alone(
    closed: Service, dashboard: Dashboard
) -> None:
    page = dashboard.page
    give(dashboard, "wrong")
    expect(page.get_by_role("alert")).to_have_text("The server does not accept this key.")
    give(dashboard, "key-of-ops")
    expect(page.locator("#status-text")).to_have_text("Live")
    pause(dashboard)
    expect(page.locator(".problems")).to_contain_text("The queue default is paused (by ops, ")
    page.get_by_role("button", name="Resume the queue default").click()
    expect(page.locator(".problems")).not_to_contain_text("paused")

    page.reload()
    expect(page.get_by_role("button", name="Pause the queue default")).to_be_visible()
    assert page.evaluate("() => [localStorage.length, document.cookie]") == [0, ""]
    other = page.context.new_page()
    other.goto(f"{closed.stack.api_url}/ui/")
    expect(other.get_by_role("textbox", name="API key")).to_be_visible()
    assert "key-of-ops" not in closed.stack.output("api")

    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_role("textbox", name="API key")).to_be_visible()
    assert page.evaluate("() => sessionStorage.length") == 0


def test_a_key_without_the_scope_is_told_so_in_the_dialog(dashboard: Dashboard) -> None:
    give(dashboard, "key-of-reader")
    pause(dashboard)
    expect(dashboard.page.get_by_role("dialog").get_by_role("alert")).to_contain_text("admin")


def test_a_key_for_its_own_jobs_sees_them_live_and_nothing_else(
    closed: Service, dashboard: Dashboard
) -> None:
    closed.submit("echo", message="of another", headers=as_caller("ops"))
    page = dashboard.page
    give(dashboard, "key-of-own")
    expect(page.get_by_role("heading", name="This key may not see this page")).to_be_visible()
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.get_by_text("There is no job yet.")).to_be_visible()
    expect(page.locator("#status-text")).to_have_text("Live")
    closed.submit("echo", message="mine", headers=as_caller("own"))
    expect(page.locator("tr[data-job] .badge")).to_have_text("completed")
