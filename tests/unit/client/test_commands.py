"""Commands of the command line: requests, output, exit codes."""

import io
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.client.fake_server import (
    FAILURE,
    JOB_ID,
    error_response,
    event,
    event_stream,
    job_response,
    log_event,
    log_record,
    output_event,
    page_response,
    record,
)

Run = Callable[..., int]
Capture = pytest.CaptureFixture[str]
HALF = {"fraction": 0.5, "message": "counting"}
FILE = {
    "file_id": "file_019ab1c27d107c4e9a553f5b8f0e6d21",
    "name": None,
    "content_type": "text/csv",
    "size": 3,
    "sha256": sha256(b"a,b").hexdigest(),
    "created_at": "2026-01-01T12:00:00.000000Z",
    "expires_at": "2026-01-02T12:00:00.000000Z",
}
ARTIFACT = {
    "name": "out.csv",
    "content_type": "text/csv",
    "size": 3,
    "sha256": sha256(b"a,b").hexdigest(),
    "url": f"/v1/jobs/{JOB_ID}/artifacts/out.csv",
}


def log(*lines: dict[str, object]) -> httpx.Response:
    return httpx.Response(200, json={"items": list(lines), "total": len(lines)})


# -- jobs


def test_submit_prints_the_id(run: Run, capsys: Capture):
    assert run("submit echo --param message=hi", job_response(status=202)) == 0
    assert capsys.readouterr() == (f"{JOB_ID}\n", "")


def test_submit_sends_all_options(run: Run):
    def check(request: httpx.Request) -> httpx.Response:
        assert request.headers["Idempotency-Key"] == "k"
        assert request.headers["Authorization"] == "Bearer s3cret"
        assert json.loads(request.content) == {
            "type": "echo",
            "params": {"a": 1, "b": 2},
            "delay_seconds": 3,
            "start_within_seconds": 60,
            "labels": {"team": "7"},
            "webhook": {"url": "https://example.com/hook"},
        }
        return job_response(status=202)

    line = (
        'submit echo --params {"a":0,"b":2} --param a=1 --label team=7 --delay 3 --start-within 60 '
        "--webhook https://example.com/hook --idempotency-key k --key s3cret"
    )
    assert run(line, check) == 0


def test_wait_prints_the_result(run: Run, capsys: Capture):
    assert (
        run("submit echo --wait 5", job_response(status=202), job_response("completed", result={"ü": 1})) == 0
    )
    assert capsys.readouterr() == ('{\n  "ü": 1\n}\n', "")


def test_a_wait_without_a_result_is_exit_code_3(run: Run, capsys: Capture):
    assert run("submit echo --wait 0", job_response(status=202), job_response("running")) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert f"The job {JOB_ID} is still running after 0 s." in err


def test_watch_prints_a_line_per_change_and_then_the_result(run: Run, capsys: Capture):
    changes = event_stream(
        event("pending", 1),
        event("running", 2),
        event("running", 3, progress=HALF),
        event("running", 4, progress=HALF),
        event("completed", 5, progress=HALF, result=7),
    )
    assert run("submit echo --watch", job_response(status=202), changes) == 0
    out, err = capsys.readouterr()
    assert out == "7\n"
    assert err.splitlines() == ["pending", "running", "running      50%  counting", "completed   100%"]


def test_a_job_that_fails_is_exit_code_1(run: Run, capsys: Capture):
    changes = event_stream(event("failed", 2, errors=[FAILURE], attempt=1))
    assert run("submit flaky --watch", job_response(status=202), changes) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == (
        f"The job {JOB_ID} failed: It was asked to fail. Ask it for something else. [flaky_final]"
    )


def test_a_job_that_is_cancelled_is_exit_code_1(run: Run):
    assert run("submit echo --wait 5", job_response(status=202), job_response("cancelled")) == 1


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (error_response(401, "unauthorized"), "This is unauthorized. Do something else."),
        (httpx.ConnectError("refused"), "http://127.0.0.1:8000/ does not answer (refused)."),
        (error_response(500, "internal_error", message="two\nlines\x1b[2J"), "two lines [2J Do"),
    ],
)
def test_an_error_of_the_server_is_exit_code_3(run: Run, capsys: Capture, failure: Any, text: str):
    assert run(f"get {JOB_ID}", failure) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err
    assert err.count("\n") == 1


def test_an_unreachable_server_is_named_without_the_password(run: Run, capsys: Capture):
    assert run(f"--url http://u:s3cret@a get {JOB_ID}", httpx.ConnectError("refused")) == 3
    assert capsys.readouterr().err.startswith("http://a/ does not answer")


def test_a_body_that_is_nested_too_deeply_is_exit_code_3(run: Run, capsys: Capture):
    assert run(f"get {JOB_ID}", httpx.Response(200, content=b"[" * 100_000)) == 3
    assert run(f"get {JOB_ID}", httpx.Response(500, content=b"[" * 100_000)) == 3
    assert capsys.readouterr().err.count("\n") == 2


def test_interrupting_a_watch_leaves_the_job_alone(run: Run, capsys: Capture):
    def interrupt(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    assert run("submit echo --watch", job_response(status=202), interrupt) == 130
    assert f"The job {JOB_ID} goes on; `python -m client get {JOB_ID}`" in capsys.readouterr().err


def test_get_prints_the_record(run: Run, capsys: Capture):
    assert run(f"get {JOB_ID}", job_response("running", caller="me")) == 0
    assert json.loads(capsys.readouterr().out) == record("running", caller="me")


def test_cancel_prints_the_state_of_the_job(run: Run, capsys: Capture):
    assert run(f"cancel {JOB_ID}", job_response("cancelled")) == 0
    assert run(f"cancel {JOB_ID}", job_response("running", 202, cancel_requested=True)) == 0
    assert capsys.readouterr().out == f"{JOB_ID} is cancelled.\n{JOB_ID} is being cancelled.\n"


def test_retry_prints_the_id_of_the_new_job(run: Run, capsys: Capture):
    assert run(f"retry {JOB_ID}", job_response(status=202, job_id="new", retry_of=JOB_ID)) == 0
    assert capsys.readouterr().out == "new\n"


def test_list_prints_a_table(run: Run, capsys: Capture):
    jobs = page_response(record("running", attempt=1, labels={"team": "a", "run": "7"}), record(type="echo"))
    assert run("list --state running --type echo --label team=a", jobs) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ID                                    TYPE        STATE    ATTEMPT  CREATED               LABELS",
        f"{JOB_ID}  word_count  running  1/3      2026-01-01 12:00:00Z  team=a run=7",
        f"{JOB_ID}  echo        pending  0/3      2026-01-01 12:00:00Z",
    ]


def test_list_prints_records_for_programs(run: Run, capsys: Capture):
    assert run("list --json", page_response(record(), record("running"))) == 0
    assert [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()] == [
        "pending",
        "running",
    ]


# -- logs


def test_logs_prints_the_log(run: Run, capsys: Capture):
    assert (
        run(f"logs {JOB_ID}", log(log_record(1, "opened"), log_record(2, "read\n\x1b[2J", pages=3, by="ü")))
        == 0
    )
    assert capsys.readouterr().out.splitlines() == [
        "2026-01-01 12:00:01Z  opened",
        '2026-01-01 12:00:02Z  read  [2J  pages=3  by="ü"',
    ]


def test_logs_prints_lines_for_programs(run: Run, capsys: Capture):
    assert run(f"logs {JOB_ID} --json", log(log_record(1), log_record(2, pages=3))) == 0
    assert [json.loads(text) for text in capsys.readouterr().out.splitlines()] == [
        log_record(1),
        log_record(2, pages=3),
    ]


def test_logs_may_start_after_a_line(run: Run):
    def check(request: httpx.Request) -> httpx.Response:
        assert request.url.query == b"after=7"
        return log()

    assert run(f"logs {JOB_ID} --after 7", check) == 0


def test_logs_may_be_followed_to_the_end_of_the_job(run: Run, capsys: Capture):
    stream = event_stream(event("running", 2), log_event(1, "a"), log_event(2, "b"), event("failed", 3))
    assert run(f"logs {JOB_ID} --follow --after 1", stream) == 0
    assert capsys.readouterr() == ("2026-01-01 12:00:02Z  b\n", "")


def test_the_log_of_an_expired_job_is_exit_code_3(run: Run, capsys: Capture):
    assert run(f"logs {JOB_ID}", error_response(410, "job_expired")) == 3
    assert "job_expired" in capsys.readouterr().err


def test_watch_shows_the_log_between_the_changes(run: Run, capsys: Capture):
    stream = event_stream(
        event("running", 2), log_event(1, "a"), log_event(2, "b"), event("completed", 3, result=7)
    )
    assert run("submit echo --watch", job_response(status=202), stream) == 0
    out, err = capsys.readouterr()
    assert out == "7\n"
    assert err.splitlines() == [
        "pending",
        "running",
        "2026-01-01 12:00:01Z  a",
        "2026-01-01 12:00:02Z  b",
        "completed   100%",
    ]


def test_watch_shows_the_output_as_it_comes(run: Run, capsys: Capture):
    stream = event_stream(
        event("running", 2),
        output_event(1, "to "),
        output_event(2, "be"),
        log_event(1, "a"),
        event("completed", 3, result=7),
    )
    assert run("submit generate --watch", job_response(status=202), stream) == 0
    out, err = capsys.readouterr()
    assert out == "7\n"
    assert err.splitlines() == ["pending", "running", "to be", "2026-01-01 12:00:01Z  a", "completed   100%"]


# -- files


def test_upload_prints_the_id(run: Run, capsys: Capture, tmp_path: Path):
    def check(request: httpx.Request) -> httpx.Response:
        assert (request.content, request.headers["Content-Type"]) == (b"a,b", "text/csv")
        assert request.headers["Content-Disposition"].endswith("''data.csv")
        return httpx.Response(201, json=FILE)

    (tmp_path / "data.csv").write_bytes(b"a,b")
    assert run(f"upload {tmp_path}/data.csv", check) == 0
    assert capsys.readouterr() == (f"{FILE['file_id']}\n", "")


def test_standard_input_is_uploaded_too(run: Run, monkeypatch: pytest.MonkeyPatch):
    def check(request: httpx.Request) -> httpx.Response:
        assert request.content == b"a,b"
        assert request.headers["Content-Type"] == "text/plain"
        assert request.headers["Content-Disposition"].endswith("''it.txt")
        return httpx.Response(201, json=FILE)

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a,b")))
    assert run("upload - --name it.txt --content-type text/plain", check) == 0


@pytest.mark.parametrize(("to", "saved"), [("", "out.csv"), (" --to mine", "mine"), (" --to .", "out.csv")])
def test_download_prints_the_path(
    run: Run, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, saved: str
):
    monkeypatch.chdir(tmp_path)
    made = job_response("completed", artifacts=[ARTIFACT])
    assert run(f"download {JOB_ID} out.csv{to}", made, httpx.Response(200, content=b"a,b")) == 0
    assert capsys.readouterr() == (f"{saved}\n", "")
    assert (tmp_path / saved).read_bytes() == b"a,b"


def test_a_damaged_download_is_exit_code_3(run: Run, capsys: Capture, tmp_path: Path):
    made = job_response("completed", artifacts=[ARTIFACT])
    assert run(f"download {JOB_ID} out.csv --to {tmp_path}", made, httpx.Response(200, content=b"a;b")) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "[artifact_damaged]" in err


@pytest.mark.parametrize(
    "command", ["upload /nowhere/to/be/found", f"download {JOB_ID} out.csv --to /nowhere/to/be"]
)
def test_an_unusable_file_is_exit_code_2(run: Run, capsys: Capture, command: str):
    answers = [job_response("completed", artifacts=[ARTIFACT])] if command.startswith("download") else []
    assert run(command, *answers) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "/nowhere/to/" in err
    assert err.count("\n") == 1
