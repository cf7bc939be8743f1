"""Web pages of other origins, in a real browser: they change and read nothing, unless they are allowed to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.stack import wait_until
from tests.e2e.browser import CHROMIUM, DRIVER, Browser, browsing
from tests.e2e.pages import page_server
from tests.e2e.service import Service, json_lines, serving
from tests.e2e.test_access import make_key

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium or chromedriver is not on PATH")

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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page_port() -> Iterator[int]:
    with page_server() as port:
        yield port


def requests(service: Service) -> list[tuple[str, str, int]]:
    """Method, path and status of all requests of scripts and forms, as the API logged them."""
    lines = [line for line in json_lines(service.stack.output("api")) if line["event"] == "request"]
    found = [(line["method"], line["path"], line["status"]) for line in lines]
    return [request for request in found if request[1] not in ("/healthz", "/favicon.ico")]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "evil.example"])
def test_a_page_of_another_origin_changes_and_reads_nothing(
    service: Service, browser: Browser, page_port: int, host: str
) -> None:
    job_id = service.run("echo", message="mine")["job_id"]
    before = [service.job(job_id), service.info()["jobs"], service.redis.keys("jobs:file:*")]
    known = len(requests(service))
    browser.open(f"http://{host}:{page_port}/")
    attacks = [
        f"/{path}" for path in ("jobs", "files", f"jobs/{job_id}/retry", f"jobs/{job_id}/webhook/redeliver")
    ]

    for path in attacks:
        options = {"method": "POST", "mode": "no-cors", "body": '{"type":"echo","params":{"message":1}}'}
        assert browser.run(SEND, service.stack.api_url + path, options)["type"] == "opaque"
    assert browser.run(SEND, f"{service.stack.api_url}/jobs/{job_id}", {"method": "DELETE"}) == {
        "error": "TypeError"
    }
    assert browser.run(SEND, f"{service.stack.api_url}/jobs", {}) == {"error": "TypeError"}
    browser.run(SUBMIT_FORM, f"{service.stack.api_url}/files")

    expected = [("POST", path, 403) for path in attacks]
    expected += [("OPTIONS", f"/jobs/{job_id}", 405), ("GET", "/jobs", 200), ("POST", "/files", 403)]
    wait_until(lambda: len(requests(service)) == known + len(expected), "the API has seen all requests")
    assert requests(service)[known:] == expected
    assert [service.job(job_id), service.info()["jobs"], service.redis.keys("jobs:file:*")] == before


def test_a_name_that_was_rebound_to_this_machine_leads_nowhere(service: Service, browser: Browser) -> None:
    browser.open(f"http://evil.example:{service.stack.api_port}/jobs")
    assert '"misdirected_request"' in browser.run("return document.body.innerText")
    answer = browser.run(SEND, "/jobs", {"method": "POST", "body": "{}"})
    assert answer["status"] == 421


def test_the_reference_runs_its_own_scripts_alone(service: Service, browser: Browser) -> None:
    browser.open(f"{service.stack.api_url}/docs")
    wait_until(
        lambda: browser.run("return document.querySelectorAll('.opblock').length") >= 15,
        "the reference shows its operations",
    )
    browser.run(
        "const script = document.createElement('script');"
        "script.textContent = 'window.injected = true'; document.body.append(script);"
    )
    assert browser.run("return window.injected") is None
    assert browser.run(SEND, f"{service.stack.api_url}/healthz", {})["status"] == 200


def test_an_allowed_page_submits_and_follows_jobs_with_a_key(
    browser: Browser, page_port: int, tmp_path: Path
) -> None:
    key, entry = make_key("page")
    allowed = f"http://app.example:{page_port}"
    with serving(workers=1, API_KEYS=entry, API_CORS_ORIGINS=allowed) as service:
        url = service.stack.api_url
        browser.open(f"{allowed}/")
        status, location, record = browser.run(CALL_WITH_KEY, url, key)
        assert (status, record["result"]) == (200, {"message": "from a page"})
        assert location == f"/v1/jobs/{record['job_id']}"

        job_id = submit_for_later(service, key)
        token = browser.run(FOLLOW_WITH_TOKEN, url, job_id, key)
        wait_until(lambda: browser.run("return window.seen") == ["pending"], "the page sees the job")
        service.stop_api(within=3)
        service.stack.start_api()  # the browser comes back with the same token
        wait_until(lambda: service.watched(job_id), "the page is connected again")
        service.call("DELETE", f"/jobs/{job_id}", headers={"X-API-Key": key})
        wait_until(lambda: browser.run(CLOSED), "the browser closes its EventSource")
        assert browser.run("return window.seen") == ["pending", "cancelled"]
        assert token.split(".")[1] not in service.stack.output("api")

        browser.open(f"http://evil.example:{page_port}/")
        assert browser.run(SEND, f"{url}/v1/jobs", {"headers": {"X-API-Key": key}}) == {"error": "TypeError"}


def submit_for_later(service: Service, key: str) -> Any:
    job = {"type": "echo", "params": {"message": "later"}, "delay_seconds": 3600}
    return service.call("POST", "/jobs", json=job, headers={"X-API-Key": key}).json()["job_id"]
