"""The forms of the dashboard in a real browser: each kind of param, files, faults, commands."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, expect

from dev.service import Service, serving
from dev.stack import ROOT
from tests.e2e.browser import needs_browser
from tests.e2e.dashboard_page import HOSTILE, Dashboard, watching

pytestmark = needs_browser

DROP = """
    (box, [name, text]) => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([text], name, {type: "text/csv"}));
        box.dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
    }
"""
TYPES = "job_types,tests.dashboard_types"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(workers=1, JOB_TYPES=TYPES) as service:
        yield service


def group(dashboard: Dashboard, name: str) -> Locator:
    """The fieldset of an object or a list."""
    return dashboard.page.get_by_role("group", name=re.compile(rf"^{re.escape(name)}( |$)"))


def submitted(dashboard: Dashboard, service: Service) -> dict[str, Any]:
    """The record of the job that the form submits, once it is completed."""
    dashboard.click("Submit")
    return service.wait_for(dashboard.job_id(), "completed")


def curl(dashboard: Dashboard) -> str:
    return dashboard.page.get_by_label("The request with curl", exact=True).inner_text()


def python(dashboard: Dashboard) -> str:
    return dashboard.page.get_by_label("The request with Python", exact=True).inner_text()


# -- each kind of param


@pytest.mark.parametrize("job_type", ["echo", "sleep", "word_count", "flaky", "mandelbrot", "generate"])
def test_the_example_of_a_type_is_filled_in(dashboard: Dashboard, service: Service, job_type: str) -> None:
    dashboard.open(f"/submit/{job_type}")

    record = submitted(dashboard, service)

    example = service.call("GET", f"/job-types/{job_type}").json()["example"]
    assert {name: record["params"][name] for name in example} == example
    assert record["type"] == job_type


def test_params_of_every_kind_arrive_as_they_are_filled_in(dashboard: Dashboard, service: Service) -> None:
    dashboard.open("/submit/everything")
    field = dashboard.page.get_by_label
    field("name", exact=True).fill("nested")
    field("note", exact=True).select_option("text")
    field("note value", exact=True).fill("a note")
    field("count", exact=True).fill("7")
    field("ratio", exact=True).fill("0.25")
    field("exact", exact=True).check()
    field("maybe", exact=True).select_option("false")
    field("colour", exact=True).select_option("green")
    field("level", exact=True).select_option("3")
    group(dashboard, "origin").get_by_label("x", exact=True).fill("-1.5")
    fill_points(group(dashboard, "points"))
    fill_weights(group(dashboard, "weights"))
    field("shape", exact=True).select_option("Square")
    group(dashboard, "shape value").get_by_label("side", exact=True).fill("4")
    field("either", exact=True).select_option("list of text")
    fill_words(group(dashboard, "either value"))
    field("anything", exact=True).fill('{"deep": [1, null, {"q": "\\""}]}')

    result = submitted(dashboard, service)["result"]

    assert result == {
        "name": "nested",
        "note": "a note",
        "count": 7,
        "ratio": 0.25,
        "exact": True,
        "maybe": False,
        "colour": "green",
        "level": 3,
        "origin": {"x": -1.5, "y": 0},
        "points": [{"x": 2, "y": 0}, {"x": 1, "y": 5}],
        "weights": {"heavy": 10, "light": 0.5},
        "shape": {"kind": "square", "side": 4},
        "either": ["first", "last"],
        "at": None,
        "anything": {"deep": [1, None, {"q": '"'}]},
    }


def fill_points(points: Locator) -> None:
    """Add three points, remove one, and move the last before the first."""
    for x in ("1", "9", "2"):
        points.get_by_role("button", name="Add an item").click()
        points.get_by_label("x", exact=True).last.fill(x)
    points.get_by_label("y", exact=True).first.fill("5")
    points.get_by_role("button", name="Remove").nth(1).click()
    points.get_by_role("button", name="Move up").last.click()
    assert points.get_by_label("x", exact=True).count() == 2


def fill_weights(weights: Locator) -> None:
    for name, value in {"heavy": "10", "light": "0.5"}.items():
        weights.get_by_role("button", name="Add an entry").click()
        weights.get_by_label("name", exact=True).last.fill(name)
        weights.get_by_label("value", exact=True).last.fill(value)


def fill_words(words: Locator) -> None:
    for word in ("first", "last"):
        words.get_by_role("button", name="Add an item").click()
        words.get_by_role("textbox").last.fill(word)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_submitted_as_it_is(dashboard: Dashboard, service: Service, text: str) -> None:
    dashboard.open("/submit/word_count")
    dashboard.page.get_by_label("text", exact=True).fill(text)
    assert submitted(dashboard, service)["params"]["text"] == text


def test_a_long_integer_arrives_as_it_is_written(dashboard: Dashboard, service: Service) -> None:
    dashboard.open("/submit/echo")
    dashboard.page.get_by_label("message", exact=True).fill("[1234567890123456789, 9007199254740993]")
    expect(dashboard.page.get_by_label("The request with Python", exact=True)).to_contain_text(
        "[1234567890123456789, 9007199254740993]"
    )
    assert submitted(dashboard, service)["params"]["message"] == [1234567890123456789, 9007199254740993]
    expect(dashboard.section("Params")).to_contain_text("1234567890123456789")


# -- files


def test_a_file_is_uploaded_and_used(dashboard: Dashboard, service: Service, tmp_path: Path) -> None:
    (tmp_path / "figures.csv").write_text("a,b\n1,2\n3,4\n")
    dashboard.open("/submit/csv_profile")
    dashboard.page.get_by_label("file", exact=True).set_input_files(tmp_path / "figures.csv")
    expect(dashboard.page.get_by_text("figures.csv is uploaded: 12 B, text/csv.")).to_be_visible()
    uploaded = dashboard.page.get_by_label("Id of the uploaded file").input_value()

    record = submitted(dashboard, service)

    assert record["params"]["file"] == uploaded
    assert record["result"]["rows"] == 2


def test_a_dropped_file_is_uploaded(dashboard: Dashboard, service: Service) -> None:
    dashboard.open("/submit/csv_profile")
    dashboard.page.locator(".drop").evaluate(DROP, ["<b>.csv", "a,b\n1,2\n"])
    expect(dashboard.page.get_by_text("<b>.csv is uploaded: 8 B")).to_be_visible()
    assert submitted(dashboard, service)["result"]["rows"] == 1


def test_a_form_without_its_file_is_not_sent(dashboard: Dashboard) -> None:
    dashboard.open("/submit/thumbnail")
    dashboard.click("Submit")
    expect(dashboard.page.get_by_text("Choose a file, or name an uploaded one.")).to_be_visible()
    expect(dashboard.page.get_by_label("file", exact=True)).to_be_focused()
    assert dashboard.path == "/submit/thumbnail"


# -- faults


def test_faults_of_the_server_stand_at_their_fields(dashboard: Dashboard) -> None:
    dashboard.open("/submit/everything")
    dashboard.page.get_by_label("name", exact=True).fill("")
    dashboard.page.get_by_label("count", exact=True).fill("11")
    group(dashboard, "origin").get_by_label("x", exact=True).fill("99")
    points = group(dashboard, "points")
    points.get_by_role("button", name="Add an item").click()
    points.get_by_label("x", exact=True).fill("-99")
    dashboard.click("Submit")

    expect(dashboard.page.get_by_role("alert")).to_contain_text(["Correct the marked fields"])
    wrong = dashboard.page.locator("[aria-invalid=true]")
    expect(wrong).to_have_count(4)
    expect(wrong.nth(0)).to_have_accessible_description(re.compile("at least 1 character"))
    expect(wrong.nth(1)).to_have_accessible_description(re.compile("less than or equal to 10"))
    expect(wrong.nth(0)).to_be_focused()
    expect(group(dashboard, "points").locator("[aria-invalid=true]")).to_have_count(1)
    dashboard.check_access()

    dashboard.page.get_by_label("count", exact=True).fill("10")
    expect(wrong).to_have_count(3)


@pytest.mark.parametrize(
    ("text", "fault"),
    [("{oops", "This is not JSON"), ("{'a': 1}", "Text needs double quotes"), ("", "JSON is needed")],
)
def test_json_is_checked_before_it_is_sent(dashboard: Dashboard, text: str, fault: str) -> None:
    dashboard.open("/submit/echo")
    dashboard.page.get_by_label("message", exact=True).fill(text)
    dashboard.click("Submit")
    expect(dashboard.page.get_by_text(fault)).to_be_visible()
    assert dashboard.path == "/submit/echo"


@pytest.mark.parametrize("text", ["seven", "1.5", "9007199254740993"])
def test_a_number_that_would_not_arrive_is_refused(dashboard: Dashboard, text: str) -> None:
    dashboard.open("/submit/flaky")
    dashboard.page.get_by_label("failures", exact=True).fill(text)
    dashboard.click("Submit")
    expect(dashboard.page.get_by_label("failures", exact=True)).to_have_attribute("aria-invalid", "true")
    assert dashboard.path == "/submit/flaky"


# -- options


def test_options_arrive(dashboard: Dashboard, service: Service) -> None:
    dashboard.open("/submit/echo")
    dashboard.page.get_by_text("Start, labels, webhook").click()
    dashboard.page.get_by_label("start", exact=True).select_option("after some seconds")
    dashboard.page.get_by_label("Seconds until the start").fill("3600")
    dashboard.page.get_by_label("start_within_seconds").fill("60")
    labels = group(dashboard, "labels")
    labels.get_by_role("button", name="Add an entry").click()
    labels.get_by_label("name", exact=True).fill("team")
    labels.get_by_label("value", exact=True).fill("vision & <b>")
    dashboard.click("Submit")

    record = service.job(dashboard.job_id())
    assert record["state"] == "pending"
    assert record["run_at"] is not None
    assert record["start_by"] is not None
    assert record["labels"] == {"team": "vision & <b>"}


def test_a_wrong_label_is_shown_at_its_entry(dashboard: Dashboard) -> None:
    dashboard.open("/submit/echo")
    dashboard.page.get_by_text("Start, labels, webhook").click()
    labels = group(dashboard, "labels")
    labels.get_by_role("button", name="Add an entry").click()
    labels.get_by_label("name", exact=True).fill("not a name!")
    dashboard.click("Submit")
    expect(labels.get_by_label("name", exact=True)).to_have_attribute("aria-invalid", "true")


def test_a_job_is_edited_and_submitted_again(dashboard: Dashboard, service: Service) -> None:
    job_id = service.run("word_count", text="old words", top=2)["job_id"]
    dashboard.open(f"/jobs/{job_id}")
    dashboard.page.get_by_role("link", name="Edit and submit").click()
    expect(dashboard.page.get_by_label("text", exact=True)).to_have_value("old words")
    dashboard.page.get_by_label("text", exact=True).fill("new words")
    assert submitted(dashboard, service)["params"] == {"text": "new words", "top": 2}


# -- commands


def test_the_commands_do_what_the_form_does(dashboard: Dashboard) -> None:
    dashboard.open("/submit/word_count")
    dashboard.page.get_by_label("text", exact=True).fill('it\'s "a" $HOME `id` \\ test\nü')
    dashboard.page.get_by_label("top", exact=True).fill("1")
    expect(dashboard.page.get_by_label("The request with Python", exact=True)).to_contain_text('"top": 1')

    shell = subprocess.run(["bash", "-c", curl(dashboard)], capture_output=True, check=True, timeout=30)
    accepted = json.loads(shell.stdout)
    program = subprocess.run(
        [sys.executable, "-c", python(dashboard)], cwd=ROOT, capture_output=True, check=True, timeout=30
    )

    assert accepted["params"] == {"text": 'it\'s "a" $HOME `id` \\ test\nü', "top": 1}
    assert b"'words': 7" in program.stdout


def test_commands_have_options_and_leave_defaults_out(dashboard: Dashboard) -> None:
    dashboard.open("/submit/generate")
    dashboard.page.get_by_text("Start, labels, webhook").click()
    dashboard.page.get_by_label("start", exact=True).select_option("at a time")
    dashboard.page.get_by_label("Time of the start").fill("2026-12-24T18:00:00")
    expect(dashboard.page.get_by_label("The request with curl", exact=True)).to_contain_text(
        '"run_at":"2026-12-24T'
    )
    assert "temperature" not in curl(dashboard)
    assert "run_at=datetime.fromisoformat(" in python(dashboard)


# -- job types


def test_job_types_show_their_contract_and_figures(dashboard: Dashboard, service: Service) -> None:
    service.run("flaky", failures=0)
    failed = service.submit("flaky", final=True)
    service.wait_for(failed, "failed")
    dashboard.open("/job-types")
    flaky = dashboard.section("flaky")
    expect(flaky).to_contain_text(
        re.compile(r"Run p50\d.*Run p99\d.*Wait p50\d.*Wait p99\d.*Failed\d+ %Sampled\d")
    )
    expect(flaky).to_contain_text("Attempts5")
    flaky.get_by_text("Params").click()
    row = flaky.get_by_role("row").filter(has_text="failures")
    expect(row).to_have_text("failuresinteger, 0 to 1000Attempts that fail before one succeeds.")
    flaky.get_by_role("link", name="Submit a job of the type flaky").click()
    expect(dashboard.page.get_by_label("failures", exact=True)).to_have_value("2")


# -- all of it for everybody


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_forms_are_accessible(browser: Browser, service: Service, scheme: Any, width: int) -> None:
    with watching(
        browser, service, viewport={"width": width, "height": 800}, color_scheme=scheme
    ) as dashboard:
        for path in ("/submit", "/submit/everything", "/submit/csv_profile", "/job-types"):
            dashboard.open(path)
            if path == "/submit/everything":
                dashboard.page.get_by_text("Start, labels, webhook").click()
                for button in dashboard.page.get_by_role("button", name="Add an").all():
                    button.click()
            for summary in dashboard.page.locator("details:not([open]) summary").all()[:2]:
                summary.click()
            dashboard.check_access()


def test_an_unknown_type_leads_to_those_there_are(dashboard: Dashboard) -> None:
    dashboard.open("/submit/nothing")
    expect(dashboard.page.get_by_text("This server has no job type nothing.")).to_be_visible()
    dashboard.page.get_by_role("link", name="echo").click()
    expect(dashboard.page.get_by_label("message", exact=True)).to_be_visible()
