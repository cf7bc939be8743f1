"""Web pages in a real browser: pages of the API's own origin follow jobs, others need to be allowed."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from dev.service import Record, Service, json_lines, serving
from dev.stack import wait_until
from tests.e2e.browser import needs_browser, opening, run
from tests.e2e.pages import page_server
from tests.e2e.test_access import make_key

pytestmark = needs_browser

FOLLOW = """
    const source = window.source = new EventSource(arguments[0]);
    window.seen = [];
    window.opened = 0;
    source.onopen = () => window.opened++;
    source.onmessage = event => window.seen.push([Number(event.lastEventId), JSON.parse(event.data)]);
"""
SEND = """
    const [url, options] = arguments;
    return fetch(url, options).then(
        async answer => ({status: answer.status, type: answer.type, text: await answer.text()}),
        error => ({error: error.name}),
    );
"""
SUBMIT_FORM = """
    const form = document.createElement("form");
    Object.assign(form, {action: arguments[0], method: "post", enctype: "text/plain"});
    document.body.append(form);
    form.submit();
"""
CALL_WITH_KEY = """
    const [url, key] = arguments;
    const headers = {Authorization: `Bearer ${key}`, "Content-Type": "application/json", Prefer: "wait=10"};
    const body = JSON.stringify({type: "echo", params: {message: "from a page"}});
    return fetch(url + "/v1/jobs", {method: "POST", headers, body}).then(
        async answer => [answer.status, answer.headers.get("Location"), await answer.json()]
    );
"""
FOLLOW_WITH_TOKEN = """
    const [url, job, key] = arguments;
    const headers = {"X-API-Key": key};
    window.seen = [];
    return fetch(`${url}/v1/jobs/${job}/stream-token`, {method: "POST", headers})
        .then(answer => answer.json())
        .then(issued => {
            const source = window.source = new EventSource(url + issued.url);
            source.onmessage = event => window.seen.push(JSON.parse(event.data).state);
            return issued.token;
        });
"""
CLOSED = "return window.source.readyState === EventSource.CLOSED"


class Follower:
    """A page of the API's own origin, which can follow a job."""

    def __init__(self, page: Page, service: Service) -> None:
        self._page = page
        page.goto(f"{service.stack.api_url}/healthz")

    def follow(self, job_id: str) -> None:
        run(self._page, FOLLOW, f"/v1/jobs/{job_id}/events")

    @property
    def seen(self) -> list[tuple[int, Record]]:
        """The id and the record of each event."""
        return [(version, record) for version, record in run(self._page, "return window.seen")]

    @property
    def opened(self) -> Any:
        """Number of times that a stream was opened."""
        return run(self._page, "return window.opened")

    def sees(self, version: int) -> None:
        wait_until(lambda: self.seen and self.seen[-1][0] == version, f"the page sees version {version}")

    def ends(self) -> list[int]:
        """Ids of all events, once the browser will not reconnect."""
        wait_until(lambda: run(self._page, CLOSED), "the browser closes its EventSource")
        return [version for version, _ in self.seen]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with opening(browser) as page:
        yield page


@pytest.fixture(scope="module")
def page_port() -> Iterator[int]:
    with page_server() as port:
        yield port


# -- pages of the API's own origin


def test_a_page_follows_a_job_to_its_end(service: Service, page: Page) -> None:
    follower = Follower(page, service)
    with service.paused():
        job_id = service.submit("sleep", seconds=1)
        follower.follow(job_id)
        follower.sees(1)

    ids = follower.ends()

    assert ids == sorted(set(ids))
    assert len(ids) > 3
    assert follower.seen[-1][1] == service.job(job_id)


def test_a_page_that_asks_for_an_unknown_job_does_not_come_back(service: Service, page: Page) -> None:
    follower = Follower(page, service)

    follower.follow("nobody")

    assert follower.ends() == []
    assert follower.opened == 0


def test_a_page_goes_on_where_it_was_when_the_api_is_restarted(service: Service, page: Page) -> None:
    job_id = service.submit_for_later("echo", message="later")
    follower = Follower(page, service)
    follower.follow(job_id)
    follower.sees(1)

    service.stop_api()
    service.stack.start_api()
    wait_until(lambda: follower.opened == 2, "the page is connected again")
    follower.sees(service.change(job_id))
    service.call("DELETE", f"/jobs/{job_id}")

    assert follower.ends() == [1, 2, 3]
    assert follower.seen[-1][1]["state"] == "cancelled"


# -- pages of other origins


def refusals(service: Service) -> list[tuple[str, str, int]]:
    """Method, path and status of the requests that the API refused to pages, as it logged them."""
    lines = [line for line in json_lines(service.stack.output("api")) if line["event"] == "request"]
    return [(x["method"], x["path"], x["status"]) for x in lines if x["status"] in (403, 405)]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "evil.example"])
def test_a_page_of_another_origin_changes_and_reads_nothing(
    service: Service, page: Page, page_port: int, host: str
) -> None:
    job_id = service.run("echo", message="mine")["job_id"]
    before = [service.job(job_id), service.info()["jobs"], service.redis.keys("jobs:file:*")]
    known = len(refusals(service))
    page.goto(f"http://{host}:{page_port}/")
    attacks = [
        f"/{path}" for path in ("jobs", "files", f"jobs/{job_id}/retry", f"jobs/{job_id}/webhook/redeliver")
    ]

    for path in attacks:
        options = {"method": "POST", "mode": "no-cors", "body": '{"type":"echo","params":{"message":1}}'}
        assert run(page, SEND, service.stack.api_url + path, options)["type"] == "opaque"
    assert run(page, SEND, f"{service.stack.api_url}/jobs/{job_id}", {"method": "DELETE"}) == {
        "error": "TypeError"
    }
    assert run(page, SEND, f"{service.stack.api_url}/jobs", {}) == {"error": "TypeError"}
    run(page, SUBMIT_FORM, f"{service.stack.api_url}/files")

    expected = [("POST", path, 403) for path in attacks]
    expected += [("OPTIONS", f"/jobs/{job_id}", 405), ("POST", "/files", 403)]
    wait_until(lambda: len(refusals(service)) == known + len(expected), "the API refuses all requests")
    assert refusals(service)[known:] == expected
    assert [service.job(job_id), service.info()["jobs"], service.redis.keys("jobs:file:*")] == before


def test_a_name_that_was_rebound_to_this_machine_leads_nowhere(service: Service, page: Page) -> None:
    page.goto(f"http://evil.example:{service.stack.api_port}/jobs")
    assert '"misdirected_request"' in run(page, "return document.body.innerText")
    answer = run(page, SEND, "/jobs", {"method": "POST", "body": "{}"})
    assert answer["status"] == 421


def test_the_reference_runs_its_own_scripts_alone(service: Service, page: Page) -> None:
    page.goto(f"{service.stack.api_url}/docs")
    wait_until(
        lambda: run(page, "return document.querySelectorAll('.opblock').length") >= 15,
        "the reference shows its operations",
    )
    run(
        page,
        "const script = document.createElement('script');"
        "script.textContent = 'window.injected = true'; document.body.append(script);",
    )
    assert run(page, "return window.injected") is None
    assert run(page, SEND, f"{service.stack.api_url}/healthz", {})["status"] == 200


def test_an_allowed_page_submits_and_follows_jobs_with_a_key(page: Page, page_port: int) -> None:
    key, entry = make_key("page")
    allowed = f"http://app.example:{page_port}"
    with serving(workers=1, API_KEYS=entry, API_CORS_ORIGINS=allowed) as service:
        url = service.stack.api_url
        page.goto(f"{allowed}/")
        status, location, record = run(page, CALL_WITH_KEY, url, key)
        assert (status, record["result"]) == (200, {"message": "from a page"})
        assert location == f"/v1/jobs/{record['job_id']}"

        job_id = submit_for_later(service, key)
        token = run(page, FOLLOW_WITH_TOKEN, url, job_id, key)
        wait_until(lambda: run(page, "return window.seen") == ["pending"], "the page sees the job")
        service.stop_api()
        service.stack.start_api()  # the browser comes back with the same token
        wait_until(lambda: service.watched(job_id), "the page is connected again")
        service.call("DELETE", f"/jobs/{job_id}", headers={"X-API-Key": key})
        wait_until(lambda: run(page, CLOSED), "the browser closes its EventSource")
        assert run(page, "return window.seen") == ["pending", "cancelled"]
        assert token.split(".")[1] not in service.stack.output("api")

        page.goto(f"http://evil.example:{page_port}/")
        assert run(page, SEND, f"{url}/v1/jobs", {"headers": {"X-API-Key": key}}) == {"error": "TypeError"}


def submit_for_later(service: Service, key: str) -> Any:
    job = {"type": "echo", "params": {"message": "later"}, "delay_seconds": 3600}
    return service.call("POST", "/jobs", json=job, headers={"X-API-Key": key}).json()["job_id"]
