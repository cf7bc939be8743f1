"""The commands that carry files and logs: what they send, what they print, and the code they exit with."""

import io
import json
import os
import pty
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from client import Job, LogLine
from client.command_line.arguments import parse
from client.command_line.display import ERASE_LINE, LiveDisplay, PlainDisplay, log_line
from tests.unit.client.fake_server import JOB_ID, answer, event, events, line, log_event, record, refused

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
Run = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def log(*lines: dict[str, object]) -> httpx.Response:
    return httpx.Response(200, json={"items": list(lines), "total": len(lines)})


# -- logs


def test_logs_prints_what_the_job_wrote(run: Run, capsys: Capture):
    assert run(f"logs {JOB_ID}", log(line(1, "opened"), line(2, "read\n\x1b[2J", pages=3, by="ü"))) == 0
    assert capsys.readouterr().out.splitlines() == [
        "2026-01-01 12:00:01Z  opened",
        '2026-01-01 12:00:02Z  read  [2J  pages=3  by="ü"',
    ]


def test_logs_prints_lines_for_programs(run: Run, capsys: Capture):
    assert run(f"logs {JOB_ID} --json", log(line(1), line(2, pages=3))) == 0
    assert [json.loads(text) for text in capsys.readouterr().out.splitlines()] == [line(1), line(2, pages=3)]


def test_logs_asks_for_what_comes_after_a_line(run: Run):
    def check(request: httpx.Request) -> httpx.Response:
        assert request.url.query == b"after=7"
        return log()

    assert run(f"logs {JOB_ID} --after 7", check) == 0


def test_logs_may_be_followed_to_the_end_of_the_job(run: Run, capsys: Capture):
    told = events(event("running", 2), log_event(1, "a"), log_event(2, "b"), event("failed", 3))
    assert run(f"logs {JOB_ID} --follow --after 1", told) == 0
    assert capsys.readouterr() == ("2026-01-01 12:00:02Z  b\n", "")


def test_the_log_of_a_job_that_is_kept_no_longer(run: Run, capsys: Capture):
    assert run(f"logs {JOB_ID}", refused(410, "job_expired")) == 3
    assert "job_expired" in capsys.readouterr().err


def test_watch_shows_the_log_between_the_changes(run: Run, capsys: Capture):
    told = events(event("running", 2), log_event(1, "a"), log_event(2, "b"), event("completed", 3, result=7))
    assert run("submit echo --watch", answer(status=202), told) == 0
    out, err = capsys.readouterr()
    assert out == "7\n"
    assert err.splitlines() == [
        "pending",
        "running",
        "2026-01-01 12:00:01Z  a",
        "2026-01-01 12:00:02Z  b",
        "completed   100%",
    ]


def test_lines_of_the_log_that_look_alike_are_all_shown():
    out = io.StringIO()
    shown = PlainDisplay(out)
    for _ in range(2):
        shown.show(LogLine.from_record(line(1, "again")))
    assert out.getvalue() == "2026-01-01 12:00:01Z  again\n" * 2


def test_the_log_goes_by_above_the_live_line():
    here, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as out, LiveDisplay(out) as live:
        live.show(Job.from_record(record("running")))
        live.show(LogLine.from_record(line(1, "opened")))
        live.show(Job.from_record(record("completed")))
    drawn = ""
    with os.fdopen(here, "rb", buffering=0) as screen, suppress(OSError):  # what tells that it is closed
        while True:
            drawn += screen.read(10_000).decode()
    assert f"{ERASE_LINE}2026-01-01 12:00:01Z  opened\r\n" in drawn
    assert "completed" in drawn.split(ERASE_LINE)[-1]


def test_a_line_of_the_log_is_one_line():
    assert "\n" not in log_line(LogLine.from_record(line(1, "a\nb", text="c\nd")))


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
def test_download_prints_where_it_saved(
    run: Run, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, saved: str
):
    monkeypatch.chdir(tmp_path)
    made = answer("completed", artifacts=[ARTIFACT])
    assert run(f"download {JOB_ID} out.csv{to}", made, httpx.Response(200, content=b"a,b")) == 0
    assert capsys.readouterr() == (f"{saved}\n", "")
    assert (tmp_path / saved).read_bytes() == b"a,b"


def test_a_download_that_is_damaged_is_exit_code_3(run: Run, capsys: Capture, tmp_path: Path):
    made = answer("completed", artifacts=[ARTIFACT])
    assert run(f"download {JOB_ID} out.csv --to {tmp_path}", made, httpx.Response(200, content=b"a;b")) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "[artifact_damaged]" in err


@pytest.mark.parametrize(
    "command", ["upload /nowhere/to/be/found", f"download {JOB_ID} out.csv --to /nowhere/to/be"]
)
def test_a_file_that_can_not_be_read_or_written_is_exit_code_2(run: Run, capsys: Capture, command: str):
    answers = [answer("completed", artifacts=[ARTIFACT])] if command.startswith("download") else []
    assert run(command, *answers) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "/nowhere/to/" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("upload", "FILE"),
        ("upload a --content-type ü", "printable ASCII"),
        (f"download {JOB_ID}", "NAME"),
        ("logs", "ID"),
        (f"logs {JOB_ID} --after -1", "not a whole number"),
        (f"logs {JOB_ID} --after x", "not a whole number"),
    ],
)
def test_what_can_not_be_meant_is_refused(capsys: Capture, arguments: str, complaint: str):
    with pytest.raises(SystemExit) as ended:
        parse(arguments.split())
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err
