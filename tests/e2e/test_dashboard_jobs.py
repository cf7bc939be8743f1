"""The list of jobs in a real browser: filters, pages, live rows, bulk cancel and retry."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from dev.service import Service, serving
from tests.e2e.browser import needs_browser
from tests.e2e.dashboard_page import HOSTILE, Dashboard, watching

pytestmark = needs_browser

MANY = 10_000


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(workers=1, WORKER_CONCURRENCY="20") as service:
        yield service


def submit_many(service: Service, number: int, label: str, **options: object) -> list[str]:
    """Submit jobs that wait for an hour; returns their ids."""
    job = {"type": "echo", "params": {"message": 1}, "delay_seconds": 3600, "labels": {"test": label}}
    ids: list[str] = []
    for _ in range(0, number, 1000):
        jobs = [{**job, **options}] * min(1000, number - len(ids))
        answer = service.call("POST", "/jobs/batch", json={"jobs": jobs}, timeout=60)
        assert answer.status_code == 202, answer.text
        ids += [record["job_id"] for record in answer.json()["items"]]
    return ids


def rows(dashboard: Dashboard) -> Locator:
    return dashboard.page.locator("tr[data-job]")


def row_of(dashboard: Dashboard, job_id: str) -> Locator:
    return dashboard.page.locator(f"tr[data-job='{job_id}']")


def labelled(service: Service, label: str, state: str) -> int:
    """The number of jobs with a label in a state, a page at most."""
    query = {"label": f"test={label}", "state": state, "limit": "200"}
    return len(service.call("GET", "/jobs", params=query).json()["items"])


def test_filters_narrow_the_list_and_stay_in_the_address(service: Service, dashboard: Dashboard) -> None:
    failed = service.submit("flaky", failures=1, final=True)
    service.wait_for(failed, "failed")
    (waiting,) = submit_many(service, 1, "filters")
    dashboard.open("/jobs")
    expect(row_of(dashboard, failed)).to_contain_text("flaky")
    expect(row_of(dashboard, waiting)).to_contain_text("test=filters")

    page = dashboard.page
    page.get_by_role("button", name=re.compile("^failed")).click()
    expect(row_of(dashboard, waiting)).to_have_count(0)
    expect(row_of(dashboard, failed)).to_be_visible()
    assert dashboard.path == "/jobs?state=failed"

    page.get_by_role("button", name=re.compile("^All")).click()
    page.get_by_label("Type").select_option("echo")
    page.get_by_label("Label").fill("test=filters")
    page.get_by_label("Label").press("Enter")
    expect(rows(dashboard)).to_have_count(1)
    expect(row_of(dashboard, waiting)).to_be_visible()
    dashboard.open(dashboard.path)  # as a link that somebody was sent
    expect(rows(dashboard)).to_have_count(1)
    expect(dashboard.page.locator("#status-text")).to_have_text("Live")
    (matching,), _ = submit_many(service, 1, "filters"), submit_many(service, 1, "filters, and more")
    expect(row_of(dashboard, matching)).to_be_visible()  # by the stream
    expect(rows(dashboard)).to_have_count(2)
    expect(page.get_by_label("Label")).to_have_value("test=filters")

    page.get_by_label("Created before").fill("2020-01-01T00:00")
    page.get_by_label("Created before").blur()
    expect(rows(dashboard)).to_have_count(0)
    expect(page.get_by_text("No job fits these filters.")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    expect(row_of(dashboard, failed)).to_be_visible()


def test_a_malformed_label_is_explained_and_changes_nothing(service: Service, dashboard: Dashboard) -> None:
    dashboard.open("/jobs")
    dashboard.page.get_by_label("Label").fill("vision")
    dashboard.page.get_by_label("Label").press("Enter")
    expect(dashboard.page.get_by_role("alert")).to_contain_text("Write a label as name=value")
    assert dashboard.path == "/jobs"


def test_a_job_is_found_by_its_id(service: Service, dashboard: Dashboard) -> None:
    job_id = service.submit("echo", message="found")
    dashboard.open("/jobs")
    dashboard.page.get_by_role("searchbox", name="Job id").fill(f" {job_id} ")
    dashboard.page.get_by_role("searchbox", name="Job id").press("Enter")
    assert dashboard.job_id() == job_id


def test_rows_change_in_place_and_new_jobs_wait_under_the_pointer(
    service: Service, dashboard: Dashboard
) -> None:
    running = service.submit_running("sleep", seconds=600)
    dashboard.open("/jobs")
    expect(row_of(dashboard, running).locator(".badge")).to_have_text("running")
    expect(dashboard.page.locator("#status-text")).to_have_text("Live")
    first = rows(dashboard).first.get_attribute("data-job")
    rows(dashboard).first.hover()
    new = service.submit("echo", message="new")
    service.call("DELETE", f"/jobs/{running}")

    expect(row_of(dashboard, running).locator(".badge")).to_have_text("cancelled")
    show = dashboard.page.get_by_role("button", name=re.compile("change.* — show"))
    expect(show).to_be_visible()
    expect(rows(dashboard).first).to_have_attribute("data-job", str(first))
    show.click()
    expect(row_of(dashboard, new)).to_be_visible()
    expect(show).to_be_hidden()

    dashboard.page.mouse.move(0, 0)
    later = service.submit("echo", message="later")
    expect(row_of(dashboard, later)).to_be_visible()


def test_all_jobs_of_a_filter_are_cancelled_once_their_number_was_confirmed(
    service: Service, dashboard: Dashboard
) -> None:
    submit_many(service, 60, "bulk")
    (other,) = submit_many(service, 1, "kept")
    dashboard.open("/jobs?label=test=bulk")
    page = dashboard.page
    page.get_by_role("button", name="Cancel all").click()
    expect(page.get_by_role("dialog")).to_contain_text("Cancel 60 jobs?")
    expect(page.get_by_role("dialog")).to_contain_text("with the label test=bulk")
    page.keyboard.press("Escape")
    assert labelled(service, "bulk", "pending") == 60

    page.get_by_role("button", name="Cancel all").click()
    dashboard.confirm("Cancel 60 jobs")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert labelled(service, "bulk", "cancelled") == 60
    assert service.job(other)["state"] == "pending"
    expect(rows(dashboard).first.locator(".badge")).to_have_text("cancelled")

    page.get_by_role("button", name="Retry all").click()
    expect(page.get_by_role("dialog")).to_contain_text("Retry 60 jobs?")
    dashboard.confirm("Retry 60 jobs")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert labelled(service, "bulk", "pending") + labelled(service, "bulk", "completed") == 60


def test_ten_thousand_jobs_are_paged_counted_and_cancelled(service: Service, dashboard: Dashboard) -> None:
    ids = submit_many(service, MANY, "many")
    dashboard.open("/jobs?label=test=many")
    page = dashboard.page
    expect(rows(dashboard)).to_have_count(50)
    expect(page.get_by_role("button", name="Newer")).to_be_disabled()
    newest = rows(dashboard).first.get_attribute("data-job")
    page.get_by_role("button", name="Older").click()
    expect(page.get_by_text("Page 2: 50 jobs")).to_be_visible()
    assert rows(dashboard).first.get_attribute("data-job") in ids
    page.get_by_role("button", name="Newer").click()
    expect(rows(dashboard).first).to_have_attribute("data-job", str(newest))

    page.get_by_role("button", name=re.compile("^pending")).click()
    page.get_by_role("button", name="Cancel all").click()
    dashboard.confirm("Cancel 10,000 jobs")
    expect(page.get_by_role("dialog")).to_have_count(0, timeout=60_000)
    assert {service.job(job_id)["state"] for job_id in (ids[0], ids[5000], ids[-1])} == {"cancelled"}


def test_hostile_labels_and_filters_are_text(service: Service, dashboard: Dashboard) -> None:
    values = [text[:60].strip() for text in HOSTILE]
    labels = {f"name-{number}": value for number, value in enumerate(values)}
    (job_id,) = submit_many(service, 1, "hostile", labels=labels)
    dashboard.open("/jobs")
    tags = row_of(dashboard, job_id).locator(".tag")
    expect(tags).to_have_text([*(f"name-{number}={values[number]}" for number in range(4)), "+2"])
    expect(tags.last).to_have_attribute("title", f"name-4={values[4]}\nname-5={values[5]}")
    for text in HOSTILE[:4]:
        dashboard.page.get_by_label("Caller").fill(text[:60])
        dashboard.page.get_by_label("Caller").press("Enter")
        expect(dashboard.page.get_by_text("No job fits these filters.")).to_be_visible()
        dashboard.open(dashboard.path)
        expect(dashboard.page.get_by_label("Caller")).to_have_value(text[:60])
    assert dashboard.page.locator("img[src=x]").count() == 0
    assert dashboard.overflow() <= 0


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_the_list_is_accessible(service: Service, browser: Browser, width: int, scheme: str) -> None:
    service.wait_for(service.submit("flaky", failures=1, final=True), "failed")
    options = {"viewport": {"width": width, "height": 844}, "color_scheme": scheme}
    with watching(browser, service, **options) as dashboard:
        dashboard.open("/jobs")
        expect(rows(dashboard).first).to_be_visible()
        dashboard.check_access()
