"""The dashboard of a service on a Redis Cluster, in a real browser, while some shards do not answer."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from dev.cluster import RedisCluster, clustered
from dev.service import Service, serving
from dev.stack import wait_until
from tests.e2e.browser import needs_browser
from tests.e2e.dashboard_page import Dashboard, watching
from tests.e2e.missing_shards import SHARDS, SOON, primary_away

pytestmark = needs_browser

SOON_MS = SOON * 1000


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with clustered() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def service(cluster: RedisCluster) -> Iterator[Service]:
    """An API and a worker that stays alive while its shards are away."""
    with serving(workers=1, cluster=cluster, WORKER_LEASE_SECONDS="60") as service:
        yield service


def sentence(shards: list[int]) -> str:
    *others, last = map(str, shards)
    return f"Shards {', '.join(others)} and {last} of {SHARDS} do not answer: their jobs are left out."


def notice(dashboard: Dashboard) -> Locator:
    return dashboard.page.locator(".notice", has_text="left out").filter(visible=True)


def ids_in(dashboard: Dashboard) -> list[str]:
    """The jobs in the list, at one moment."""
    script = "rows => rows.map(row => row.dataset.job)"
    return list(dashboard.page.locator("tr[data-job]").evaluate_all(script))


@pytest.mark.parametrize("path", ["/", "/jobs", "/workers", "/job-types"])
def test_missing_shards_are_named_as_long_as_they_are_away(
    service: Service, cluster: RedisCluster, dashboard: Dashboard, path: str
) -> None:
    dashboard.open(path)
    expect(dashboard.page.locator("#status-text")).to_have_text("Live")
    expect(notice(dashboard)).to_have_count(0)
    with primary_away(cluster, service) as shards:
        expect(notice(dashboard)).to_have_text(sentence(shards), timeout=SOON_MS)
        dashboard.open(path)
        expect(notice(dashboard)).to_have_text(sentence(shards), timeout=SOON_MS)
    expect(notice(dashboard)).to_have_count(0, timeout=SOON_MS)


def test_the_list_has_the_jobs_of_the_shards_that_answer(
    service: Service, cluster: RedisCluster, dashboard: Dashboard
) -> None:
    jobs = {service.submit_for_later("echo", message=number) for number in range(SHARDS)}
    dashboard.open("/jobs?state=pending")
    wait_until(lambda: jobs <= set(ids_in(dashboard)), "all jobs are in the list")
    with primary_away(cluster, service) as shards:
        left = {job_id for job_id in jobs if int(job_id[-2:], 16) not in shards}
        wait_until(lambda: jobs & set(ids_in(dashboard)) == left, "lost jobs have left it", seconds=SOON)
    wait_until(lambda: jobs <= set(ids_in(dashboard)), "all jobs are in it again", seconds=SOON)


def test_jobs_of_other_shards_are_cancelled_and_the_dialog_says_what_is_left(
    service: Service, cluster: RedisCluster, dashboard: Dashboard
) -> None:
    for number in range(SHARDS):
        service.submit_for_later("echo", message=number)
    dashboard.open("/jobs?state=pending")
    dialog = dashboard.page.get_by_role("dialog")
    with primary_away(cluster, service):
        dashboard.page.get_by_role("button", name="Cancel all").click()
        expect(dialog).to_contain_text("do not answer. Jobs of the others that were matched: ")
        dashboard.confirm("Cancel the jobs of all other shards")
        expect(dialog.get_by_role("alert")).to_contain_text(
            "do not answer. Jobs of the others that were cancelled: "
        )
        expect(dialog.get_by_role("alert")).to_contain_text("Send the request again")
        dashboard.confirm("Close")
        expect(dashboard.page.get_by_text("No job fits these filters.")).to_be_visible(timeout=SOON_MS)
    expect(dashboard.page.locator("tr[data-job]").first).to_be_visible(timeout=SOON_MS)

    dashboard.page.get_by_role("button", name="Cancel all").click()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)
    assert service.info()["jobs"]["pending"] == 0


def test_a_pause_says_that_it_holds_on_the_other_shards(
    service: Service, cluster: RedisCluster, dashboard: Dashboard
) -> None:
    dashboard.open("/")
    with primary_away(cluster, service):
        dashboard.page.get_by_role("button", name="Pause the queue default").click()
        dashboard.confirm("Pause")
        fault = dashboard.page.get_by_role("dialog").get_by_role("alert")
        expect(fault).to_contain_text("do not answer. The change holds on the other shards.", timeout=SOON_MS)
    service.call("POST", "/queues/default/resume").raise_for_status()


def test_the_place_of_a_job_is_an_estimate(service: Service, dashboard: Dashboard) -> None:
    with service.paused():
        job_id = [service.submit("echo", message=number) for number in range(2 * SHARDS)][-1]
        dashboard.open(f"/jobs/{job_id}")
        reasons = dashboard.page.get_by_role("region", name="Why this job waits")
        expect(reasons).to_contain_text(f"About {SHARDS} jobs before it")


def test_two_missing_shards_fit_in_a_narrow_window(
    service: Service, cluster: RedisCluster, browser: Browser
) -> None:
    options = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
    with primary_away(cluster, service), watching(browser, service, **options) as dashboard:
        for path in ("/", "/jobs", "/workers"):
            dashboard.open(path)
            expect(notice(dashboard)).to_be_visible(timeout=SOON_MS)
            dashboard.check_access()
