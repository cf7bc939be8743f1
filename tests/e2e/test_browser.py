"""A browser's own `EventSource` follows jobs: what the standard promises to a page is true here."""

from collections.abc import Iterator
from typing import Any

import pytest

from dev.stack import wait_until
from tests.e2e.browser import CHROMIUM, DRIVER, Browser, browsing
from tests.e2e.service import Record, Service

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium or chromedriver is not on PATH")

FOLLOW = """
    const source = window.source = new EventSource(arguments[0]);
    window.seen = [];
    window.opened = 0;
    source.onopen = () => window.opened++;
    source.onmessage = event => window.seen.push([Number(event.lastEventId), JSON.parse(event.data)]);
"""
CLOSED = "return window.source.readyState === EventSource.CLOSED"


class Page:
    """A page of the API's own origin, which can follow a job."""

    def __init__(self, browser: Browser, service: Service) -> None:
        self._browser = browser
        browser.open(f"{service.stack.api_url}/healthz")

    def follow(self, job_id: str) -> None:
        self._browser.run(FOLLOW, f"/v1/jobs/{job_id}/events")

    @property
    def seen(self) -> list[tuple[int, Record]]:
        """The id and the record of each event."""
        return [(version, record) for version, record in self._browser.run("return window.seen")]

    @property
    def opened(self) -> Any:
        """How often a stream was opened."""
        return self._browser.run("return window.opened")

    def sees(self, version: int) -> None:
        wait_until(lambda: self.seen and self.seen[-1][0] == version, f"the page sees version {version}")

    def ends(self) -> list[int]:
        """The ids of all events, once the browser will not come back."""
        wait_until(lambda: self._browser.run(CLOSED), "the browser closes its EventSource")
        return [version for version, _ in self.seen]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def test_a_page_follows_a_job_to_its_end(service: Service, browser: Browser) -> None:
    page = Page(browser, service)
    job_id = service.submit("sleep", seconds=1)
    page.follow(job_id)

    ids = page.ends()

    assert ids == sorted(set(ids))
    assert len(ids) > 3
    assert page.seen[-1][1] == service.job(job_id)


def test_a_page_that_asks_for_an_unknown_job_does_not_come_back(service: Service, browser: Browser) -> None:
    page = Page(browser, service)

    page.follow("nobody")

    assert page.ends() == []
    assert page.opened == 0


def test_a_page_goes_on_where_it_was_when_the_api_is_restarted(service: Service, browser: Browser) -> None:
    job_id = service.submit_for_later("echo", message="later")
    page = Page(browser, service)
    page.follow(job_id)
    page.sees(1)

    service.stop_api(within=3)
    service.stack.start_api()
    wait_until(lambda: page.opened == 2, "the page is connected again")
    page.sees(service.change(job_id))
    service.call("DELETE", f"/jobs/{job_id}")

    assert page.ends() == [1, 2, 3]
    assert page.seen[-1][1]["state"] == "cancelled"
