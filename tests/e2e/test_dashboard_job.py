"""The page of a job in a real browser: as it waits, runs and ends, and what can be done with it."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from dev.service import Service, serving
from dev.stack import wait_until
from dev.webhook_receiver import SECRET, WebhookReceiver
from shared.store import redis_keys
from tests.e2e.browser import needs_browser
from tests.e2e.dashboard_page import HOSTILE, Dashboard, watching
from tests.e2e.test_access import make_key

pytestmark = needs_browser

SETTINGS = {
    "JOB_TYPES": "job_types,tests.dashboard_types",
    "WEBHOOK_SECRETS": SECRET,
    "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.1/32",
    "WORKER_LEASE_SECONDS": "1",
}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(workers=1, **SETTINGS) as service:
        yield service


@pytest.fixture
def paused(service: Service) -> Iterator[None]:
    """The queue `default`, paused for a test."""
    service.call("POST", "/queues/default/pause", json={"reason": "disk <full>"})
    yield
    service.call("POST", "/queues/default/resume")


def reasons(dashboard: Dashboard) -> Locator:
    """The reasons why the job waits."""
    return dashboard.page.get_by_role("region", name="Why this job waits")


def attempts(dashboard: Dashboard) -> Locator:
    return dashboard.section("Attempts").get_by_role("listitem")


def submit(service: Service, job_type: str, **body: Any) -> str:
    """Submit a job with options; returns its id."""
    answer = service.call("POST", "/jobs", json={"type": job_type, **body})
    return str(answer.json()["job_id"])


# -- while it runs


@pytest.mark.usefixtures("paused")
def test_progress_log_and_output_come_while_the_job_runs(dashboard: Dashboard, service: Service) -> None:
    job_id = service.submit("hostile", text="halfway", seconds=3600)
    dashboard.open(f"/jobs/{job_id}")
    expect(dashboard.badge("pending")).to_be_visible()

    service.call("POST", "/queues/default/resume")
    expect(dashboard.badge("running")).to_be_visible()
    expect(dashboard.page.get_by_label("Progress of the job")).to_have_attribute("value", "0.5")
    expect(dashboard.page.locator(".job-progress")).to_contain_text("50 %halfway")
    expect(dashboard.page.get_by_role("log")).to_contain_text("halfway")
    expect(dashboard.page.get_by_label("Output of the job")).to_have_text("halfway")
    expect(attempts(dashboard)).to_contain_text(["Attempt 1Runningwaited"])

    dashboard.click("Cancel the job")
    dashboard.confirm("Cancel the job")
    expect(dashboard.badge("cancelled")).to_be_visible()
    expect(attempts(dashboard)).to_contain_text(["Attempt 1Cancelled"])
    expect(dashboard.page.locator(".job-progress")).to_be_hidden()
    assert service.job(job_id)["state"] == "cancelled"


def test_streamed_output_is_whole_after_the_api_was_restarted(dashboard: Dashboard, service: Service) -> None:
    with service.paused():
        job_id = service.submit("generate", prompt="A worker", max_tokens=120, seed=3, tokens_per_second=40)
        dashboard.open(f"/jobs/{job_id}")
        expect(dashboard.badge("pending")).to_be_visible()
    output = dashboard.page.get_by_label("Output of the job")
    expect(output).to_contain_text(re.compile(r"\w"))

    service.restart_api()

    expect(dashboard.badge("completed")).to_be_visible(timeout=30_000)
    assert output.evaluate("node => node.textContent") == service.job(job_id)["result"]["text"]


def test_the_page_goes_on_after_redis_was_away(dashboard: Dashboard, service: Service) -> None:
    job_id = service.submit_for_later("echo", message="later")
    dashboard.open(f"/jobs/{job_id}")
    expect(reasons(dashboard)).to_contain_text("Scheduled for")

    service.kill_redis()
    expect(dashboard.page.locator("#status-text")).to_have_text("Redis is away")
    expect(dashboard.badge("pending")).to_be_visible()
    service.stack.start_redis()
    wait_until(lambda: service.call("DELETE", f"/jobs/{job_id}").status_code == 200, "the job is cancelled")

    expect(dashboard.badge("cancelled")).to_be_visible(timeout=30_000)


def test_a_picture_is_shown_and_files_are_saved(
    dashboard: Dashboard, service: Service, tmp_path: Path
) -> None:
    job_id = service.run("mandelbrot", size=64)["job_id"]
    dashboard.open(f"/jobs/{job_id}")
    picture = dashboard.page.get_by_alt_text("Picture mandelbrot.png")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") == 64

    with dashboard.page.expect_download() as download:
        dashboard.click("Save mandelbrot.png")
    download.value.save_as(tmp_path / "saved.png")
    saved = (tmp_path / "saved.png").read_bytes()
    assert saved == service.call("GET", f"/jobs/{job_id}/artifacts/mandelbrot.png").content
    assert download.value.suggested_filename == "mandelbrot.png"


# -- why it waits


@pytest.mark.usefixtures("paused")
def test_a_job_in_a_paused_queue_says_so_and_how_many_are_before_it(
    dashboard: Dashboard, service: Service
) -> None:
    for _ in range(2):
        service.submit("echo", message="before")
    job_id = service.submit("echo", message="waits")
    dashboard.open(f"/jobs/{job_id}")

    expect(reasons(dashboard)).to_contain_text("Queue default is paused")
    expect(reasons(dashboard)).to_contain_text("disk <full>")
    expect(reasons(dashboard)).to_contain_text("2 jobs before it")
    service.call("POST", "/queues/default/resume")
    expect(dashboard.badge("completed")).to_be_visible()
    expect(reasons(dashboard)).to_be_hidden()


def test_a_job_without_a_worker_says_so(dashboard: Dashboard, service: Service) -> None:
    job_id = service.submit("away", text="nobody")
    dashboard.open(f"/jobs/{job_id}")
    expect(reasons(dashboard)).to_contain_text("0 of 1 worker serve away")
    expect(reasons(dashboard)).to_contain_text("WORKER_QUEUES=away")
    expect(reasons(dashboard)).to_contain_text("No job is before it")


def test_a_scheduled_job_says_until_when(dashboard: Dashboard, service: Service) -> None:
    job_id = submit(service, "echo", params={"message": 1}, delay_seconds=86400 * 3, start_within_seconds=60)
    dashboard.open(f"/jobs/{job_id}")
    expect(reasons(dashboard)).to_contain_text(re.compile(r"Scheduled for .* \(in 2 days\)"))
    expect(reasons(dashboard)).to_contain_text("It fails if no worker has started it by")


def test_a_job_between_two_attempts_says_why_and_until_when(dashboard: Dashboard, service: Service) -> None:
    job_id = service.submit("hostile", text="no luck", end="retried")
    dashboard.open(f"/jobs/{job_id}")
    expect(reasons(dashboard)).to_contain_text(
        re.compile(r"Backoff until .*: attempt 1 failed with hostile_once")
    )
    expect(reasons(dashboard)).to_contain_text("Attempt 2 of 3 comes then.")


# -- attempts


def test_each_attempt_has_its_end_and_its_error(dashboard: Dashboard, service: Service) -> None:
    job_id = service.run("flaky", failures=2)["job_id"]
    dashboard.open(f"/jobs/{job_id}")
    expect(attempts(dashboard)).to_have_count(3)
    expect(attempts(dashboard).first).to_contain_text("Failed, tried again")
    error = service.job(job_id)["errors"][0]
    for text in (error["code"], error["message"], error["hint"]):
        expect(attempts(dashboard).first).to_contain_text(text)
    expect(attempts(dashboard).last).to_contain_text("Attempt 3Completed")
    bars = dashboard.section("Attempts").locator("svg")
    expect(bars.locator("rect.bar-retried")).to_have_count(2)
    expect(bars.locator("rect.bar-completed")).to_have_count(1)


def test_rescues_and_hand_backs_are_told(dashboard: Dashboard, service: Service) -> None:
    job_id = service.submit("away", text="moved", seconds=3600)
    dashboard.open(f"/jobs/{job_id}")
    first = service.start_worker(WORKER_QUEUES="away", WORKER_CONCURRENCY="1")
    expect(attempts(dashboard)).to_contain_text(["Running"], timeout=30_000)
    first.kill()
    second = service.start_worker(WORKER_QUEUES="away", WORKER_CONCURRENCY="1", WORKER_GRACE_SECONDS="0")
    expect(attempts(dashboard)).to_contain_text(["Worker lost, rescued", "Running"], timeout=30_000)
    second.send(signal.SIGTERM)
    second.wait_exit()
    expect(attempts(dashboard)).to_contain_text(["Worker lost, rescued", "Handed back"], timeout=30_000)
    expect(dashboard.badge("pending")).to_be_visible()


# -- what can be done


def test_a_finished_job_is_retried_as_a_new_one(dashboard: Dashboard, service: Service) -> None:
    job_id = service.run("echo", message="again")["job_id"]
    dashboard.open(f"/jobs/{job_id}")
    dashboard.click("Retry")
    expect(dashboard.section("Facts").get_by_role("link", name=job_id)).to_be_visible()
    made = dashboard.job_id()
    assert made != job_id
    assert service.wait_for(made, "completed")["retry_of"] == job_id


def test_a_pending_job_is_cancelled_only_after_the_question(dashboard: Dashboard, service: Service) -> None:
    job_id = service.submit_for_later("echo", message="later")
    dashboard.open(f"/jobs/{job_id}")
    dashboard.click("Cancel the job")
    dashboard.confirm("Close")
    expect(dashboard.page.get_by_role("dialog")).to_be_hidden()
    assert service.job(job_id)["state"] == "pending"
    dashboard.click("Cancel the job")
    dashboard.confirm("Cancel the job")
    expect(dashboard.badge("cancelled")).to_be_visible()


def test_a_forgotten_job_is_gone(dashboard: Dashboard, service: Service) -> None:
    job_id = service.run("mandelbrot", size=16)["job_id"]
    dashboard.open(f"/jobs/{job_id}")
    dashboard.click("Forget")
    dashboard.confirm("Forget the job")
    dashboard.page.wait_for_url(re.compile(r"#/jobs$"))
    dashboard.open(f"/jobs/{job_id}")
    expect(dashboard.page.get_by_role("heading", name="This job's record is gone")).to_be_visible()
    assert service.call("GET", f"/jobs/{job_id}").status_code == 410


def test_an_unknown_job_leads_to_the_list(dashboard: Dashboard) -> None:
    dashboard.open("/jobs/%3Cimg%20src=x%3E")
    expect(dashboard.page.get_by_role("heading", name="There is no such job")).to_be_visible()
    expect(dashboard.page.get_by_text("Job <img src=x>.")).to_be_visible()
    expect(dashboard.page.get_by_role("link", name="Look at the jobs")).to_be_visible()


def test_a_webhook_is_sent_again(dashboard: Dashboard, service: Service) -> None:
    receiver = WebhookReceiver()
    try:
        job_id = submit(service, "echo", params={"message": 1}, webhook={"url": receiver.url})
        dashboard.open(f"/jobs/{job_id}")
        webhook = dashboard.section("Webhook")
        expect(webhook.get_by_text("answered 204")).to_have_count(1)
        webhook.get_by_role("button", name="Send again").click()
        expect(webhook.get_by_text("answered 204")).to_have_count(2)
        assert len(receiver.received) == 2
    finally:
        receiver.close()


# -- values are text


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("end", ["completed", "failed"])
def test_hostile_values_are_shown_as_text(
    dashboard: Dashboard, service: Service, text: str, end: str
) -> None:
    labels = {"name": text[:128]}
    job_id = submit(service, "hostile", params={"text": text, "end": end}, labels=labels)
    service.wait_for(job_id, end)
    # No submission could name a job type or a queue so, but a record may.
    service.redis.hset(redis_keys.RECORD + job_id, "caller", text)
    dashboard.open(f"/jobs/{job_id}")

    page, start = dashboard.page, text[:50]
    expect(page.get_by_role("log")).to_contain_text(start)
    expect(page.get_by_label("Output of the job")).to_contain_text(start)
    expect(dashboard.section("Facts")).to_contain_text(f"name={start}")
    expect(dashboard.section("Params")).to_contain_text(json.dumps(start, ensure_ascii=False)[:-1])
    if end == "completed":
        expect(dashboard.section("Result")).to_contain_text(json.dumps(start, ensure_ascii=False)[:-1])
        expect(dashboard.section("Artifacts")).to_contain_text("page.html")
    else:
        expect(dashboard.section("Attempts")).to_contain_text(start)
    assert dashboard.overflow() <= 0
    while page.locator(".tree-more").count():
        page.locator(".tree-more").first.click()
    assert dashboard.overflow() <= 0


# -- JSON


def test_a_large_result_is_opened_part_by_part(dashboard: Dashboard, service: Service) -> None:
    message = {"many": list(range(9_900)), "long": "x" * 10_000, "a b": [{"deep": True}]}
    job_id = service.run("echo", message=message)["job_id"]
    dashboard.open(f"/jobs/{job_id}")
    result = dashboard.section("Result")
    assert dashboard.page.evaluate("() => document.querySelectorAll('*').length") < 1000

    many = result.get_by_role("button", name=re.compile("^many:"))
    expect(many).to_have_attribute("aria-expanded", "false")
    many.press("Enter")
    expect(many).to_have_attribute("aria-expanded", "true")
    result.get_by_role("button", name="Show 100 more of 9,800").click()
    expect(result.get_by_text("199:", exact=True)).to_have_count(1)
    result.get_by_role("button", name="Show all 10,000 characters").click()
    expect(result.get_by_text("x" * 10_000)).to_be_visible()


def test_json_and_paths_are_copied(browser: Browser, service: Service) -> None:
    message = {"a b": [{"deep": "\u00fc"}], "long": 2**60 + 1}
    job_id = service.run("echo", message=message)["job_id"]
    permissions = ["clipboard-read", "clipboard-write"]
    with watching(browser, service, permissions=permissions) as dashboard:
        dashboard.open(f"/jobs/{job_id}")
        copied = "() => navigator.clipboard.readText()"
        dashboard.click("Copy result as JSON")
        expect(dashboard.page.get_by_role("button", name="Copied: Copy result as JSON")).to_be_visible()
        assert json.loads(dashboard.page.evaluate(copied)) == {"message": message}
        path = 'result.message["a b"][0].deep'
        dashboard.click(f"Copy the path {path}")
        expect(dashboard.page.get_by_role("button", name=f"Copied: Copy the path {path}")).to_be_visible()
        assert dashboard.page.evaluate(copied) == path
        dashboard.click("Copy the job's id")
        expect(dashboard.page.get_by_role("button", name="Copied: Copy the job's id")).to_be_visible()
        assert dashboard.page.evaluate(copied) == job_id


# -- with keys, and for everybody


def test_a_picture_needs_the_key_that_the_tab_has(browser: Browser) -> None:
    """A key for its own jobs, which may not read queues and workers, is enough."""
    key, entry = make_key("page", "--scopes", "read:own+write:own")
    with serving(workers=1, API_KEYS=entry) as service, watching(browser, service) as dashboard:
        headers = {"X-API-Key": key}
        body = {"type": "mandelbrot", "params": {"size": 32}}
        answer = service.call("POST", "/jobs", json=body, headers=headers, params={"wait": 30})
        dashboard.page.goto(f"{service.stack.api_url}/ui/#/jobs/{answer.json()['job_id']}")
        dashboard.page.get_by_label("API key", exact=True).fill(key)
        dashboard.click("Use this key")
        expect(dashboard.page.get_by_alt_text("Picture mandelbrot.png")).to_be_visible()
        dashboard.page.goto(f"{service.stack.api_url}/ui/#/submit/echo")
        commands = dashboard.page.get_by_label("The request with curl", exact=True)
        expect(commands).to_contain_text('"Authorization: Bearer $API_KEY"')
        assert key not in dashboard.page.content()
        body = {"type": "echo", "params": {"message": 1}, "delay_seconds": 3600}
        job_id = service.call("POST", "/jobs", json=body, headers=headers).json()["job_id"]
        dashboard.page.goto(f"{service.stack.api_url}/ui/#/jobs/{job_id}")
        expect(reasons(dashboard)).to_contain_text("Scheduled for")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_pages_of_jobs_are_accessible(browser: Browser, service: Service, scheme: Any, width: int) -> None:
    running = service.submit("hostile", text="running", seconds=3600)
    jobs = [
        service.run("mandelbrot", size=16)["job_id"],
        service.run("flaky", failures=1)["job_id"],
        service.submit("hostile", text="a text", end="failed"),
        service.submit("away", text="waits"),
        running,
        "unknown",
    ]
    with watching(
        browser, service, viewport={"width": width, "height": 800}, color_scheme=scheme
    ) as dashboard:
        for job_id in jobs:
            dashboard.open(f"/jobs/{job_id}")
            if job_id != "unknown":
                expect(dashboard.section("Params")).to_be_visible()
            dashboard.check_access()
        dashboard.open(f"/jobs/{running}")
        dashboard.click("Cancel the job")
        dashboard.check_access()
        dashboard.confirm("Cancel the job")
        expect(dashboard.badge("cancelled")).to_be_visible()
