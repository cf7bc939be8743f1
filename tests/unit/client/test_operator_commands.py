"""Commands of operators: queues, workers, attempts, and changes of many jobs."""

import io
import json
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.unit.client.fake_server import (
    FAILURE,
    JOB_ID,
    PAUSED,
    error_response,
    job_response,
    page_response,
    queue_record,
    record,
    shards_missing,
    worker_record,
)

Run = Callable[..., int]
Capture = pytest.CaptureFixture[str]
Answer = Callable[[str], None]
MISSING = {
    "job_id": "x",
    "code": "job_not_found",
    "message": "There is no such job.",
    "hint": "Check the id.",
}


def answer(value: Any) -> httpx.Response:
    return httpx.Response(200, json=value)


def page(matched: int, **fields: Any) -> httpx.Response:
    body = {"matched": matched, "changed": matched, "dry_run": False, "next_cursor": None, "errors": []}
    return answer({**body, **fields})


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Put a user at the terminal, who types a line."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def types(line: str) -> None:
        monkeypatch.setattr("sys.stdin", Terminal(line))
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)

    return types


# -- queues and workers


def test_queues_are_a_table(run: Run, capsys: Capture):
    queues = {
        "items": [
            queue_record("gpu", ready=1234, **PAUSED),
            queue_record(ended_last_minute={"completed": 0, "failed": 0, "cancelled": 0}),
        ]
    }
    assert run("queue list", answer(queues)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "QUEUE    READY  SCHEDULED  RUNNING  WAIT  WORKERS  ENDED/MIN  PAUSED",
        "gpu       1234          3     4/20  0:07        2        123  by ops: disk full",
        "default     12          3     4/20  0:07        2          0",
    ]


def test_queues_are_records_for_programs(run: Run, capsys: Capture):
    assert run("queue list --json", answer({"items": [queue_record("gpu"), queue_record()]})) == 0
    assert run("queue show gpu --json", answer(queue_record("gpu"))) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [queue_record("gpu"), queue_record(), queue_record("gpu")]


def test_one_queue_is_shown_in_lines(run: Run, capsys: Capture):
    assert run("queue show default", answer(queue_record(workers=1))) == 0
    assert capsys.readouterr().out.splitlines() == [
        "queue        default",
        "ready        12",
        "scheduled    3",
        "running      4 of 20, on 1 worker",
        "oldest wait  0:07",
        "last minute  120 completed, 2 failed, 1 cancelled",
        "paused       no",
    ]


def test_a_queue_is_paused_and_resumed(run: Run, capsys: Capture):
    def check(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content) == {"reason": "disk"}
        return answer(queue_record(**PAUSED))

    assert run("queue pause default --reason disk", check) == 0
    assert run("queue resume default", answer(queue_record())) == 0
    assert capsys.readouterr().out.splitlines() == [
        "default is paused since 2026-01-01 12:00:00Z by ops: disk full.",
        "default is not paused.",
    ]


def test_draining_asks_first(run: Run, capsys: Capture, types: Answer):
    types("y\n")
    assert run("queue drain default", answer(queue_record()), answer({"cancelled": 15, "remaining": 0})) == 0
    assert capsys.readouterr() == ("15 jobs cancelled.\n", "Cancel 15 waiting jobs of default? [y/N] ")


@pytest.mark.parametrize("line", ["n\n", "\n", ""])
def test_draining_without_a_yes_changes_nothing(run: Run, capsys: Capture, types: Answer, line: str):
    types(line)
    assert run("queue drain default", answer(queue_record())) == 1
    assert capsys.readouterr().err.endswith("Nothing is changed.\n")


def test_draining_tells_of_jobs_that_remain(run: Run, capsys: Capture):
    parts = [{"cancelled": 1, "remaining": 1}, {"cancelled": 0, "remaining": 1}]
    assert run("queue drain default --yes", *map(answer, parts)) == 0
    out, err = capsys.readouterr()
    assert out == "1 job cancelled.\n"
    assert err.startswith("1 job still waits.")


def test_workers_are_a_table(run: Run, capsys: Capture):
    items = [worker_record(), worker_record(memory_bytes=0, lease_seconds_left=9, queues=["default"])]
    assert run("workers", answer({"items": items})) == 0
    assert capsys.readouterr().out.splitlines() == [
        "WORKER        HOST     PID  RUNNING  MEMORY   LEASE  QUEUES",
        "0a1b2c3d4e5f  node-1  4711     1/10   61 MB  12.2 s  gpu default",
        "0a1b2c3d4e5f  node-1  4711     1/10           9.0 s  default",
    ]


def test_workers_are_records_for_programs(run: Run, capsys: Capture):
    assert run("workers --json", answer({"items": [worker_record()]})) == 0
    assert json.loads(capsys.readouterr().out) == worker_record()


# -- missing shards


@pytest.mark.parametrize("form", ["", " --json"])
@pytest.mark.parametrize(
    ("line", "missing", "complete"),
    [
        ("list", {"items": [record()], "incomplete": True}, {"items": [], "incomplete": False}),
        (
            "queue list",
            {"items": [queue_record(incomplete=True)]},
            {"items": [queue_record(incomplete=False)]},
        ),
        ("queue show default", queue_record(incomplete=True), queue_record(incomplete=False)),
        ("workers", {"items": [worker_record()], "incomplete": True}, {"items": [], "incomplete": False}),
    ],
)
def test_lists_that_lack_jobs_say_so_on_standard_error(
    run: Run, capsys: Capture, line: str, form: str, missing: Any, complete: Any
):
    assert run(line + form, answer(missing)) == 0
    out, err = capsys.readouterr()
    assert err == "Jobs are left out: a shard of Redis does not answer. GET /server/info names it.\n"
    assert "left out" not in out
    assert run(line + form, answer(complete)) == 0
    assert capsys.readouterr().err == ""


def test_a_change_without_a_shard_says_what_is_done(run: Run, capsys: Capture):
    assert run("cancel --state pending --yes", shards_missing(2)) == 3
    assert run("queue drain default --yes", shards_missing(2)) == 3
    assert capsys.readouterr().err.count("Jobs of the others that were cancelled: 7. Do something") == 2


def test_a_retry_without_a_shard_may_go_on(run: Run, capsys: Capture):
    assert run("retry --state failed --yes --idempotency-key k", shards_missing(2)) == 3
    assert "--idempotency-key k to go on" in capsys.readouterr().err
    assert run("retry --state failed --yes --idempotency-key k", error_response(403, "forbidden")) == 3
    assert "to go on" not in capsys.readouterr().err


# -- attempts


def test_attempts_are_a_table(run: Run, capsys: Capture):
    failed = {
        "attempt": 1,
        "started_at": "2026-01-01T12:00:00.000000Z",
        "ended_at": "2026-01-01T12:00:01.250000Z",
        "outcome": "retried",
        "worker": "0a1b2c3d4e5f",
        "error": FAILURE,
    }
    running = {**failed, "attempt": 2, "ended_at": None, "outcome": "running", "error": None}
    found = {"items": [failed, running]}
    assert run(f"attempts {JOB_ID}", answer(found)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ATTEMPT  STARTED                  TOOK  OUTCOME  WORKER        ERROR",
        "1        2026-01-01 12:00:00Z  1.250 s  retried  0a1b2c3d4e5f  flaky_final: It was asked to fail.",
        "2        2026-01-01 12:00:00Z           running  0a1b2c3d4e5f",
    ]
    assert run(f"attempts {JOB_ID} --json", answer(found)) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [failed, running]


# -- single jobs


def test_several_jobs_are_cancelled_one_after_the_other(run: Run, capsys: Capture):
    refusals = [error_response(404, "job_not_found"), error_response(409, "job_already_finished")]
    assert run("cancel a b c", job_response("cancelled"), *refusals) == 3
    out, err = capsys.readouterr()
    assert out == f"{JOB_ID} is cancelled.\n"
    assert [line.split("[")[1] for line in err.splitlines()] == [
        "job_not_found, request r-1]",
        "job_already_finished, request r-1]",
    ]


def test_an_unreachable_server_ends_a_series(run: Run, capsys: Capture):
    assert run("cancel a b", httpx.ConnectError("refused")) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_several_jobs_are_retried(run: Run, capsys: Capture):
    def check(request: httpx.Request) -> httpx.Response:
        assert request.headers["Idempotency-Key"] == f"k/{request.url.path.split('/')[3]}"
        return job_response(status=202, job_id="new")

    assert run("retry a b --idempotency-key k", check, check) == 0
    assert capsys.readouterr() == ("new\nnew\n", "")


def test_records_are_forgotten(run: Run, capsys: Capture):
    assert run("forget a b", httpx.Response(204), error_response(409, "job_not_finished")) == 3
    out, err = capsys.readouterr()
    assert out == "a is forgotten.\n"
    assert "job_not_finished" in err


# -- jobs by filters


def test_the_number_of_jobs_is_shown_before_they_are_cancelled(run: Run, capsys: Capture, types: Answer):
    bodies = []

    def cancel(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return page(2)

    types("yes\n")
    line = "cancel --state pending --label team=vision --type echo --queue gpu --caller me"
    assert run(f"{line} --created-after 2026-01-01T12:00:00Z", cancel, cancel) == 0
    assert capsys.readouterr() == ("2 jobs cancelled.\n", "Cancel 2 jobs? [y/N] ")
    counted, changed = bodies
    assert (counted.pop("dry_run"), changed.pop("dry_run")) == (True, False)
    assert counted == changed
    at = changed["filter"].pop("created_after")
    assert at.startswith("2026-01-01T")
    assert changed["filter"] == {
        "state": "pending",
        "type": "echo",
        "queue": "gpu",
        "caller": "me",
        "labels": {"team": "vision"},
    }


@pytest.mark.parametrize("command", ["cancel", "retry"])
def test_a_no_changes_nothing(run: Run, capsys: Capture, types: Answer, command: str):
    types("n\n")
    assert run(f"{command} --state failed", page(3)) == 1
    assert capsys.readouterr().err.endswith("3 jobs? [y/N] Nothing is changed.\n")


def test_jobs_that_come_after_the_count_are_left_alone(run: Run, capsys: Capture, types: Answer):
    types("y\n")
    assert run("cancel --state pending", page(0)) == 0
    assert run("queue drain default", answer(queue_record(ready=0, scheduled=0))) == 0
    assert capsys.readouterr() == ("No job matches.\nNo job waits in default.\n", "")


@pytest.mark.parametrize("line", ["cancel --state pending", "retry --state failed", "queue drain default"])
def test_without_a_terminal_a_yes_is_needed(run: Run, capsys: Capture, line: str):
    assert run(line) == 2
    assert "Add --yes" in capsys.readouterr().err


def test_yes_asks_nothing(run: Run, capsys: Capture):
    assert run("cancel --state pending --yes", page(2)) == 0
    assert capsys.readouterr() == ("2 jobs cancelled.\n", "")


def test_a_dry_run_shows_the_number(run: Run, capsys: Capture):
    assert run("cancel --state pending --dry-run", page(1, changed=0)) == 0
    assert run("retry --state failed --dry-run", page(2, changed=0)) == 0
    assert capsys.readouterr() == ("1 job would be cancelled.\n2 jobs would be retried.\n", "")


def test_a_retry_prints_the_new_ids(run: Run, capsys: Capture):
    assert run("retry --state failed --yes", page(2, job_ids=["new1", "new2"])) == 0
    assert capsys.readouterr() == ("new1\nnew2\n", "2 jobs retried.\n")


def test_a_retry_that_breaks_off_may_go_on(run: Run, capsys: Capture):
    keys = []

    def retry(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        return page(2, job_ids=["new1", "new2"], next_cursor="c")

    assert run("retry --state failed --yes", retry, httpx.ConnectError("refused")) == 3
    advice, error = capsys.readouterr().err.splitlines()
    assert f"--idempotency-key {keys[0]} to go on" in advice
    assert "does not answer" in error


def test_jobs_that_could_not_be_changed_are_exit_code_3(run: Run, capsys: Capture):
    assert run("retry --state failed --yes", page(1, errors=[MISSING, {**MISSING, "job_id": "y"}])) == 3
    assert capsys.readouterr().err.splitlines() == [
        "1 job retried.",
        "x: There is no such job. Check the id. [job_not_found]",
        "y: There is no such job. Check the id. [job_not_found]",
    ]


@pytest.mark.parametrize("command", ["cancel", "retry"])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("", "Name jobs by their ids, or by filters such as"),
        ("--yes", "Name jobs by their ids, or by filters such as"),
        ("--dry-run", "Name jobs by their ids, or by filters such as"),
        ("x --state failed", "not both"),
        ("x --dry-run", "--dry-run goes with filters"),
    ],
)
def test_either_ids_or_filters_are_needed(run: Run, capsys: Capture, command: str, arguments: str, text: str):
    assert run(f"{command} {arguments}") == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--watch", "--output", "--wait 0"])
@pytest.mark.parametrize("jobs", ["a b", "--state failed --yes"])
def test_one_job_alone_can_be_followed(run: Run, capsys: Capture, jobs: str, option: str):
    assert run(f"retry {jobs} {option}") == 2
    assert "follow one job" in capsys.readouterr().err


def test_list_sends_its_filters(run: Run):
    def check(request: httpx.Request) -> httpx.Response:
        query = request.url.params
        assert (query["queue"], query["caller"]) == ("gpu", "me")
        assert query["created_before"].startswith("2026-01-01T")
        return page_response()

    assert run("list --queue gpu --caller me --created-before 2026-01-01T12:00:00", check) == 0
