"""The dashboard's shell, Overview and Workers in a real browser: what is wrong, queues, figures."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from dev.service import Service, json_lines, serving
from dev.stack import wait_until
from tests.e2e.browser import needs_browser
from tests.e2e.dashboard_page import HOSTILE, Dashboard, watching

pytestmark = needs_browser

LEASE_ENDS_MS = 20_000


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(workers=2, WORKER_CONCURRENCY="4", WORKER_LEASE_SECONDS="2") as service:
        yield service


@pytest.fixture(autouse=True)
def _resumed(service: Service) -> Iterator[None]:
    yield
    service.call("POST", "/queues/default/resume")


def cell(dashboard: Dashboard, queue: str, name: str) -> Locator:
    row = dashboard.page.locator(".queues tr").filter(
        has=dashboard.page.get_by_role("link", name=queue, exact=True)
    )
    return row.locator(f"td[data-name='{name}']")


def stat(dashboard: Dashboard, state: str) -> Locator:
    return dashboard.page.locator("a.stat").filter(has_text=state).locator(".stat-value")


def pause(dashboard: Dashboard, queue: str, reason: str) -> None:
    dashboard.page.get_by_role("button", name=f"Pause the queue {queue}").click()
    dashboard.page.get_by_label("Reason").fill(reason)
    dashboard.confirm("Pause")


# -- Overview


def test_the_figures_are_those_of_the_server(service: Service, dashboard: Dashboard) -> None:
    running = service.submit_running("sleep", seconds=600)
    service.submit_for_later("echo", message="later")
    service.wait_for(service.submit("flaky", failures=1, final=True), "failed")
    dashboard.open("/")
    expect(cell(dashboard, "default", "Running")).to_have_text("1")
    expect(cell(dashboard, "default", "Scheduled")).to_have_text("1")
    expect(cell(dashboard, "default", "Workers")).to_have_text("2")
    expect(cell(dashboard, "default", "Last minute")).to_contain_text("1 failed")
    expect(dashboard.page.get_by_text("2 alive: 1 of 8 slots in use, 7 free")).to_be_visible()
    for state, number in service.info()["jobs"].items():
        expect(stat(dashboard, state)).to_have_text(str(number))
    failures = dashboard.page.get_by_role("img", name=re.compile("^Failed: "))
    expect(failures).to_have_attribute("aria-label", re.compile(r"at most 0\.\d+/s in the last 15 minutes"))

    service.call("DELETE", f"/jobs/{running}")
    expect(cell(dashboard, "default", "Running")).to_have_text("0")


def test_a_queue_is_paused_with_a_reason_and_resumed(service: Service, dashboard: Dashboard) -> None:
    dashboard.open("/")
    pause(dashboard, "default", "the database is moved")
    sentence = dashboard.page.locator(".problems")
    expect(sentence).to_contain_text("The queue default is paused (")
    expect(sentence).to_contain_text("the database is moved.")
    job_id = service.submit("echo", message="waits")
    expect(cell(dashboard, "default", "Ready")).to_have_text("1")

    dashboard.page.get_by_role("button", name="Resume the queue default").click()
    service.wait_for(job_id, "completed")
    expect(dashboard.page.get_by_role("button", name="Pause the queue default")).to_be_focused()
    expect(sentence).not_to_contain_text("paused")


def test_a_queue_is_drained_after_a_question(service: Service, dashboard: Dashboard) -> None:
    ids = [service.submit_for_later("echo", message=number) for number in range(3)]
    dashboard.open("/")
    dashboard.page.get_by_role("button", name="Drain the queue default").click()
    expect(dashboard.page.get_by_role("dialog")).to_contain_text("Running jobs go on.")
    dashboard.confirm("Close")
    assert service.job(ids[0])["state"] == "pending"

    dashboard.page.get_by_role("button", name="Drain the queue default").click()
    dashboard.confirm("Cancel all that wait")
    expect(dashboard.page.get_by_role("dialog")).to_have_count(0)
    assert {service.job(job_id)["state"] for job_id in ids} == {"cancelled"}
    expect(cell(dashboard, "default", "Scheduled")).to_have_text("0")


def test_a_queue_without_a_worker_is_named(service: Service, dashboard: Dashboard) -> None:
    job_id = service.submit("identify_file", file=upload(service))
    dashboard.open("/")
    expect(dashboard.page.locator(".problems")).to_contain_text(
        "No worker serves the queue identify_file, where 1 job waits."
    )
    service.call("DELETE", f"/jobs/{job_id}")
    expect(dashboard.page.locator(".problems")).to_contain_text("All is well")


def test_hostile_reasons_are_text(service: Service, dashboard: Dashboard) -> None:
    dashboard.open("/")
    for reason in (" ".join(HOSTILE)[:1000].strip(), "long" * 250):
        service.call("POST", "/queues/default/pause", json={"reason": reason})
        expect(dashboard.page.locator(".problems")).to_contain_text(reason)
        assert dashboard.overflow() <= 0
    assert dashboard.page.locator("img[src=x]").count() == 0


def test_sentences_name_what_the_figures_show(service: Service, dashboard: Dashboard) -> None:
    dashboard.open("/")
    found = dashboard.page.evaluate(
        """async () => {
            const {Waits, problems} = await import('./problems.js');
            const ended = {completed: 2, failed: 9, cancelled: 0};
            const queue = {name: 'slow', ready: 5, scheduled: 0, running: 4, workers: 1, concurrency: 4,
                paused: false, pause: null, ended_last_minute: ended};
            const waits = new Waits();
            const worker = {worker_id: 'w1', models: [
                {type: 'embed', device: 'cpu', state: 'SETUP_FAILED', error: 'no such file'},
                {type: 'generate', device: 'cpu', state: 'READY', error: ''}]};
            let figures;
            for (let now = 100; now <= 120; now++) {
                figures = {queues: [{...queue, oldest_wait_seconds: now - 60}], workers: {alive: 1}};
                waits.add(figures.queues, now);
            }
            const status = {state: 'live', error: null};
            const found = now => problems({figures, status, waits, workers: [worker], now});
            const at = now => found(now).map(({text}) => text);
            const growing = at(120);
            waits.add([{...queue, oldest_wait_seconds: 1}], 121);
            return [growing, at(121)];
        }"""
    )
    lasting = [
        "9 of 11 jobs of the queue slow failed in the last minute.",
        "Worker w1 can't load the model of embed on cpu: no such file.",
    ]
    grows = "The oldest wait in the queue slow grows: 1 min. 4 of 4 slots are in use: start more workers."
    assert found == [[*lasting, grows], lasting]


def test_missing_shards_are_named_first(dashboard: Dashboard) -> None:
    dashboard.open("/")
    found = dashboard.page.evaluate(
        """async () => {
            const {Waits, problems} = await import('./problems.js');
            const status = {state: 'live', error: null};
            const named = shards => problems({figures: {queues: [], workers: {alive: 0}, shards}, status,
                waits: new Waits(), workers: [], now: 1}).map(({text}) => text)[0];
            return [[], [2], [1, 5], [0, 1, 7]].map(missing => named({count: 8, missing}));
        }"""
    )
    assert found == [
        "No worker is alive. Start one with: python -m worker",
        "Shard 2 of 8 does not answer: its jobs are left out.",
        "Shards 1 and 5 of 8 do not answer: their jobs are left out.",
        "Shards 0, 1 and 7 of 8 do not answer: their jobs are left out.",
    ]


def test_the_charts_show_the_counts_of_the_server(service: Service, dashboard: Dashboard) -> None:
    dashboard.open("/")
    rates = dashboard.page.evaluate(
        """async () => {
            const {History} = await import('./chart.js');
            const history = new History(10);
            const at = seconds => new Date(seconds * 1000).toISOString();
            const merge = (seconds, failed) => history.merge([{at: at(seconds), failed}], 1025);
            merge(1000, 5);
            merge(1010, 20);
            merge(1020, 1);
            merge(1020, 10);
            return history.rates('failed', 1025).filter(([, rate]) => rate);
        }"""
    )
    assert rates == [[15, 0.5], [5, 2], [0, 2]]  # seconds before now, failures a second


def test_redis_is_away_and_comes_back(browser: Browser) -> None:
    with serving(workers=1) as service, watching(browser, service) as dashboard:
        service.run("echo", message=1)
        dashboard.open("/")
        expect(dashboard.page.locator("#status-text")).to_have_text("Live")
        service.kill_redis()
        expect(dashboard.page.locator("#status-text")).to_have_text("Redis is away")
        expect(dashboard.page.locator(".problems")).to_contain_text("Redis does not answer")
        dashboard.open("/workers")
        expect(dashboard.page.locator("#status-text")).to_have_text("Redis is away")
        dashboard.open("/")
        service.stack.start_redis()
        expect(dashboard.page.locator("#status-text")).to_have_text("Live")
        expect(dashboard.page.locator(".problems")).not_to_contain_text("Redis does not answer")
        service.run("echo", message=2)
        expect(stat(dashboard, "completed")).to_have_text("2")


def test_a_text_can_not_become_markup(service: Service, dashboard: Dashboard) -> None:
    dashboard.open("/")
    outcome = dashboard.page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; } catch (error) { return error.name; } }"
    )
    assert outcome == "TypeError"
    dashboard.faults.clear()  # the browser reports the attempt


def test_the_figures_stay_true_after_a_kill_a_flush_and_under_load(
    service: Service, dashboard: Dashboard
) -> None:
    job_id = service.submit_running("sleep", seconds=600)
    dashboard.open("/")
    expect(cell(dashboard, "default", "Running")).to_have_text("1")
    service.holder(job_id).kill()
    expect(cell(dashboard, "default", "Workers")).to_have_text("1", timeout=LEASE_ENDS_MS)
    service.start_worker().wait_ready()
    expect(cell(dashboard, "default", "Workers")).to_have_text("2")
    service.wait_for(job_id, "running")
    expect(cell(dashboard, "default", "Running")).to_have_text("1")

    service.redis.flushall()
    for state in ("pending", "running", "completed"):
        expect(stat(dashboard, state)).to_have_text("0")
    expect(cell(dashboard, "default", "Running")).to_have_text("0")
    jobs = [{"type": "echo", "params": {"message": number}} for number in range(1000)]
    for _ in range(3):
        service.call("POST", "/jobs/batch", json={"jobs": jobs})
    expect(stat(dashboard, "completed")).to_have_text("3,000")
    expect(cell(dashboard, "default", "Last minute")).to_have_text("3,000 completed")


def test_a_hidden_page_reads_no_stream(service: Service, dashboard: Dashboard) -> None:
    def show(hidden: bool) -> None:
        dashboard.page.evaluate(
            "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
            " document.dispatchEvent(new Event('visibilitychange')); }",
            hidden,
        )

    def ended() -> int:
        lines = json_lines(service.stack.output("api"))
        return sum(line.get("path") == "/v1/events" for line in lines)

    dashboard.open("/")
    expect(dashboard.page.locator("#status-text")).to_have_text("Live")
    before = ended()
    show(True)
    wait_until(lambda: ended() > before, "the stream has ended")
    service.run("echo", message=1)
    show(False)
    expect(stat(dashboard, "completed")).to_have_text(f"{service.info()['jobs']['completed']:,}")


# -- Workers


def test_the_workers_show_what_they_run(service: Service, dashboard: Dashboard) -> None:
    job_id = service.submit_running("sleep", seconds=600)
    dashboard.open("/workers")
    row = dashboard.page.locator(".workers tbody tr").filter(has_text=job_id)
    expect(row).to_contain_text(service.holder(job_id).worker_id)
    expect(row.locator("td[data-name='Slots']")).to_contain_text("1 of 4 in use")
    expect(row.locator("td[data-name='Memory']")).to_contain_text(re.compile(r"\d MB"))
    row.get_by_role("link", name=job_id).click()
    assert dashboard.job_id() == job_id
    service.call("DELETE", f"/jobs/{job_id}")


# -- the shell


def test_the_keyboard_reaches_the_content_and_every_view(service: Service, dashboard: Dashboard) -> None:
    dashboard.open("/")
    page = dashboard.page
    expect(page.get_by_role("heading", name="Overview")).to_be_focused()
    for name, title in [("Jobs", "Jobs"), ("Workers", "Workers"), ("Job types", "Job types")]:
        page.get_by_role("navigation").get_by_role("link", name=name, exact=True).press("Enter")
        expect(page.get_by_role("heading", level=1, name=title)).to_be_focused()
        assert page.title() == f"{title} · Job server"
    page.get_by_role("link", name="Skip to the content").press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    assert dashboard.path == "/job-types"
    dashboard.open("/nowhere")
    expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()


def test_the_colours_follow_the_system_until_the_visitor_chooses(service: Service, browser: Browser) -> None:
    with watching(browser, service, color_scheme="dark") as dashboard:
        dashboard.open("/")
        background = "() => getComputedStyle(document.body).backgroundColor"
        dark = dashboard.page.evaluate(background)
        dashboard.page.get_by_role("button", name="Use light colours").click()
        light = dashboard.page.evaluate(background)
        assert light != dark
        dashboard.page.reload()
        assert dashboard.page.evaluate(background) == light


def test_the_page_asks_its_own_server_alone(service: Service, browser: Browser) -> None:
    with watching(browser, service) as dashboard:
        asked: set[str] = set()
        dashboard.page.on("request", lambda request: asked.add("/".join(request.url.split("/")[:3])))
        for path in ("/", "/jobs", "/workers", "/job-types", "/submit"):
            dashboard.open(path)
        assert asked - {"about:blank"} == {service.stack.api_url}


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_overview_and_workers_are_accessible(
    service: Service, browser: Browser, width: int, scheme: str
) -> None:
    service.call("POST", "/queues/default/pause", json={"reason": "for a test"})
    options = {"viewport": {"width": width, "height": 844}, "color_scheme": scheme}
    with watching(browser, service, **options) as dashboard:
        dashboard.open("/")
        expect(dashboard.page.locator(".problems")).to_contain_text("paused")
        dashboard.check_access()
        dashboard.open("/workers")
        expect(dashboard.page.locator(".workers tbody tr")).to_have_count(2)
        dashboard.check_access()


def upload(service: Service) -> str:
    answer = service.call("POST", "/files", content=b"text", headers={"Content-Type": "text/plain"})
    return str(answer.json()["file_id"])
