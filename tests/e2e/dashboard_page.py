"""The dashboard in a browser, as its tests use it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

from dev.browser import TIMEOUT_MS
from dev.service import Service
from tests.e2e.browser import opening

NO_FAULT = "Failed to load resource"  # Chromium's line for any answer of 4xx or 5xx
HOSTILE = (
    "<img src=x onerror=\"window.hostile = 'markup'\">",
    "</script><script>window.hostile = 'script'</script>",
    "\" autofocus onfocus=\"window.hostile = 'attribute'\" '` ${window.hostile = 1}",
    "javascript:window.hostile='url'",
    "\u202eright to left\u202c \u05d0\u05d1 %s %00 &lt;b&gt; \\u003cb\\u003e",
    "long " * 2000,
)

expect.set_options(timeout=TIMEOUT_MS)  # a busy machine needs more than Playwright's 5 s


class Dashboard:
    """A page of the dashboard, and the faults that the browser has reported for it."""

    def __init__(self, page: Page, service: Service) -> None:
        self.page = page
        self.faults: list[str] = []
        self._url = f"{service.stack.api_url}/ui/"
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    def open(self, path: str) -> None:
        """Open a view, and wait until it is complete."""
        self.page.goto("about:blank")
        self.page.goto(f"{self._url}#{path}")
        expect(self.page.locator("main:not([aria-busy])")).to_be_visible()

    @property
    def path(self) -> str:
        return self.page.url.partition("#")[2]

    def job_id(self) -> str:
        """The id of the job whose page is shown, once it is."""
        self.page.wait_for_url(re.compile(r"#/jobs/[^/?]+$"))
        return self.path.removeprefix("/jobs/")

    def section(self, title: str) -> Locator:
        return self.page.get_by_role("region", name=title, exact=True)

    def badge(self, state: str) -> Locator:
        return self.page.locator(".job-state .badge", has_text=state)

    def click(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def confirm(self, name: str) -> None:
        """Click the button of the open dialog."""
        self.page.get_by_role("dialog").get_by_role("button", name=name, exact=True).click()

    def check_access(self) -> None:
        """Check that axe finds no violation, and that nothing is wider than the window."""
        found = Axe().run(self.page).response["violations"]
        faults = [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found]
        assert not faults, faults
        assert self.overflow() <= 0

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        script = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(script))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error" and NO_FAULT not in message.text:
            self.faults.append(message.text)


@contextmanager
def watching(browser: Browser, service: Service, **options: Any) -> Iterator[Dashboard]:
    """The dashboard within the block, at the end of which the browser must have reported no fault."""
    with opening(browser, **options) as page:
        dashboard = Dashboard(page, service)
        yield dashboard
        assert not dashboard.faults, dashboard.faults
        assert page.evaluate("() => window.hostile ?? null") is None
