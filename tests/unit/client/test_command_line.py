"""The command line: its arguments, what it prints where, and the code that it exits with."""

import io
import json
import os
import pty
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from client import Job
from client.command_line.arguments import parse
from client.command_line.display import ERASE_LINE, LiveDisplay, bar_line, change_line, clock, table
from tests.unit.client.fake_server import FAILURE, JOB_ID, answer, event, events, page, record, refused

pytestmark = pytest.mark.usefixtures("plain_environment")
HALF = {"fraction": 0.5, "message": "counting"}


def job(state: str = "pending", **fields: Any) -> Job:
    return Job.from_record(record(state, **fields))


# -- arguments


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("n=5", 5),
        ("n=2.5", 2.5),
        ("n=true", True),
        ("n=null", None),
        ("n=[1, 2]", [1, 2]),
        ('n={"a": {}}', {"a": {}}),
        ('n="5"', "5"),
        ("n=hello", "hello"),
        ("n=a=b", "a=b"),
        ("n=", ""),
        ("n=007", "007"),
        ("n=NaN", "NaN"),
        ("n=Infinity", "Infinity"),
        ("n={not json", "{not json"),
        ('n="@home"', "@home"),
    ],
)
def test_a_param_is_json_if_it_can_be(given: str, value: object):
    assert parse(["submit", "echo", "--param", given]).param == [("n", value)]


def test_a_param_may_come_from_a_file(tmp_path: Path):
    (tmp_path / "text").write_text("5 ü\n", "utf-8")
    assert parse(["submit", "echo", "--param", f"text=@{tmp_path}/text"]).param == [("text", "5 ü\n")]


def test_a_param_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("piped ü\r\n".encode()), "latin-1"))
    assert parse(["submit", "echo", "--param", "text=@-"]).param == [("text", "piped ü\r\n")]


def test_the_text_of_a_file_is_kept_byte_by_byte(tmp_path: Path):
    (tmp_path / "text").write_bytes("\ufeffa\r\nb\rc\n".encode())
    assert parse(["submit", "echo", "--param", f"text=@{tmp_path}/text"]).param == [
        ("text", "\ufeffa\r\nb\rc\n")
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_of_params_may_begin_with_a_byte_order_mark(tmp_path: Path, encoding: str):
    (tmp_path / "params.json").write_text('{"text": "ü"}', encoding)
    assert parse(["submit", "echo", "--params", f"@{tmp_path}/params.json"]).params == {"text": "ü"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["submit", "sleep", "--param", "seconds=1e400"], "1e400 is too large a number"),
        (["submit", "sleep", "--param", "seconds=[-1e400]"], "-1e400 is too large a number"),
        (["submit", "sleep", "--params", '{"seconds": 1e400}'], "1e400 is too large a number"),
        (
            ["submit", "sleep", "--param", f"seconds={'7' * 5000}"],
            "77777777777777777777… is too large a number",
        ),
        (["submit", "echo", "--param", "a=\udcff"], "not UTF-8"),
        (["submit", "echo", "--param", "\udcff=a"], "not UTF-8"),
        (["submit", "echo", "--param", r'a="\ud800"'], "not UTF-8"),
        (["submit", "echo", "--params", r'{"a": ["\ud800"]}'], "not UTF-8"),
        (["submit", "echo", "--label", "a=\udcff"], "not UTF-8"),
        (["submit", "echo", "--webhook", "http://\udcff"], "not UTF-8"),
        (["submit", "\udcff"], "not UTF-8"),
        (["get", "\udcff"], "not UTF-8"),
        (["upload", "a", "--name", "\udcff"], "not UTF-8"),
        (["submit", "echo", "--param", "a=" + "[" * 100_000], "nested too deeply"),
        (["submit", "echo", "--params", '{"a":' * 100_000], "nested too deeply"),
        (["submit", "echo", "--run-at", "0001-01-01"], "not a time such as"),
        (["--url", "http://127.0.0.1:99999", "list"], "not an address such as"),
    ],
)
def test_what_no_request_can_carry_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
):
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    "url",
    ["ftp://u:s3cret@a", "http://u:s3cret@a:b", "http://u:s3/cret@a:b", "u:s3cret@a"],
)
def test_the_password_in_an_address_is_not_printed(capsys: pytest.CaptureFixture[str], url: str):
    with pytest.raises(SystemExit):
        parse(["--url", url, "list"])
    assert "s3" not in capsys.readouterr().err


def test_params_may_come_from_a_file(tmp_path: Path):
    (tmp_path / "params.json").write_text('{"seconds": 2}')
    assert parse(["submit", "sleep", "--params", f"@{tmp_path}/params.json"]).params == {"seconds": 2}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("", "COMMAND"),
        ("fly", "invalid choice"),
        ("submit", "TYPE"),
        ("submit echo --param novalue", "not of the form name=value"),
        ("submit echo --param =5", "not of the form name=value"),
        ("submit echo --param text=@/nowhere/to/be/found", "can't be read"),
        ("submit echo --params [1]", "a JSON object is needed"),
        ("submit echo --params {", "not JSON"),
        ('submit echo --params {"a":NaN}', "NaN is not JSON"),
        ("submit echo --delay soon", "not a number of seconds"),
        ("submit echo --delay -1", "not a number of seconds"),
        ("submit echo --wait nan", "not a number of seconds"),
        ("submit echo --run-at tomorrow", "not a time such as"),
        ("submit echo --delay 1 --run-at 2026-01-01", "not allowed with"),
        ("submit echo --watch --wait 5", "not allowed with"),
        ("submit echo --idempotency-key ü", "printable ASCII"),
        ("list --limit 0", "not a whole number above zero"),
        ("list --state lost", "invalid choice"),
        ("--url localhost list", "not an address such as"),
        ("--url http:// list", "not an address such as"),
        ("--url http://a:b list", "not an address such as"),
    ],
)
def test_what_can_not_be_meant_is_refused(capsys: pytest.CaptureFixture[str], arguments: str, complaint: str):
    with pytest.raises(SystemExit) as ended:
        parse(arguments.split())
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_time_without_a_zone_is_local():
    assert parse(["submit", "echo", "--run-at", "2026-01-01T12:00"]).run_at == (
        datetime(2026, 1, 1, 12).astimezone()
    )
    assert parse(["submit", "echo", "--run-at", "2026-01-01T12:00:00Z"]).run_at == (
        datetime(2026, 1, 1, 12, tzinfo=UTC)
    )


@pytest.mark.parametrize("line", ["--url http://a --key k list", "list --url http://a --key k"])
def test_the_server_is_named_before_the_command_or_after_it(line: str):
    options = parse(line.split())
    assert (options.url, options.key) == ("http://a", "k")


def test_the_server_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    assert (parse(["list"]).url, parse(["list"]).key) == ("http://127.0.0.1:8000", None)
    monkeypatch.setenv("JOB_SERVER_URL", "http://b")
    monkeypatch.setenv("JOB_SERVER_KEY", "e")
    assert (parse(["list"]).url, parse(["list"]).key) == ("http://b", "e")
    assert parse(["--url", "http://a", "list"]).url == "http://a"


# -- commands


def test_submit_prints_the_id(run: Callable[..., int], capsys: pytest.CaptureFixture[str]):
    assert run("submit echo --param message=hi", answer(status=202)) == 0
    assert capsys.readouterr() == (f"{JOB_ID}\n", "")


def test_submit_sends_all_that_is_given(run: Callable[..., int]):
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
        return answer(status=202)

    line = (
        'submit echo --params {"a":0,"b":2} --param a=1 --label team=7 --delay 3 --start-within 60 '
        "--webhook https://example.com/hook --idempotency-key k --key s3cret"
    )
    assert run(line, check) == 0


def test_wait_prints_the_result(run: Callable[..., int], capsys: pytest.CaptureFixture[str]):
    assert run("submit echo --wait 5", answer(status=202), answer("completed", result={"ü": 1})) == 0
    assert capsys.readouterr() == ('{\n  "ü": 1\n}\n', "")


def test_a_wait_in_vain_is_no_success(run: Callable[..., int], capsys: pytest.CaptureFixture[str]):
    assert run("submit echo --wait 0", answer(status=202), answer("running")) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert f"The job {JOB_ID} is still running after 0 s." in err


def test_watch_prints_a_line_per_change_and_then_the_result(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
):
    changes = events(
        event("pending", 1),
        event("running", 2),
        event("running", 3, progress=HALF),
        event("running", 4, progress=HALF),
        event("completed", 5, progress=HALF, result=7),
    )
    assert run("submit echo --watch", answer(status=202), changes) == 0
    out, err = capsys.readouterr()
    assert out == "7\n"
    assert err.splitlines() == ["pending", "running", "running      50%  counting", "completed   100%"]


def test_a_job_that_fails_is_exit_code_1(run: Callable[..., int], capsys: pytest.CaptureFixture[str]):
    changes = events(event("failed", 2, errors=[FAILURE], attempt=1))
    assert run("submit flaky --watch", answer(status=202), changes) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == (
        f"The job {JOB_ID} failed: It was asked to fail. Ask it for something else. [flaky_final]"
    )


def test_a_job_that_is_cancelled_is_exit_code_1(run: Callable[..., int]):
    assert run("submit echo --wait 5", answer(status=202), answer("cancelled")) == 1


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (refused(401, "unauthorized"), "This is unauthorized. Do something else."),
        (httpx.ConnectError("refused"), "http://127.0.0.1:8000/ does not answer (refused)."),
        (refused(500, "internal_error", message="two\nlines\x1b[2J"), "two lines [2J Do"),
    ],
)
def test_a_server_that_refuses_is_exit_code_3(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], failure: Any, said: str
):
    assert run(f"get {JOB_ID}", failure) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_a_server_that_does_not_answer_is_named_without_the_password(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
):
    assert run(f"--url http://u:s3cret@a get {JOB_ID}", httpx.ConnectError("refused")) == 3
    assert capsys.readouterr().err.startswith("http://a/ does not answer")


def test_an_answer_that_is_nested_too_deeply_is_exit_code_3(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
):
    assert run(f"get {JOB_ID}", httpx.Response(200, content=b"[" * 100_000)) == 3
    assert run(f"get {JOB_ID}", httpx.Response(500, content=b"[" * 100_000)) == 3
    assert capsys.readouterr().err.count("\n") == 2


def test_whoever_interrupts_a_watch_leaves_the_job_alone(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
):
    def interrupt(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    assert run("submit echo --watch", answer(status=202), interrupt) == 130
    assert f"The job {JOB_ID} goes on; `python -m client get {JOB_ID}`" in capsys.readouterr().err


def test_get_prints_the_record(run: Callable[..., int], capsys: pytest.CaptureFixture[str]):
    assert run(f"get {JOB_ID}", answer("running", caller="me")) == 0
    assert json.loads(capsys.readouterr().out) == record("running", caller="me")


def test_cancel_says_what_became_of_the_job(run: Callable[..., int], capsys: pytest.CaptureFixture[str]):
    assert run(f"cancel {JOB_ID}", answer("cancelled")) == 0
    assert run(f"cancel {JOB_ID}", answer("running", 202, cancel_requested=True)) == 0
    assert capsys.readouterr().out == f"{JOB_ID} is cancelled.\n{JOB_ID} is being cancelled.\n"


def test_retry_prints_the_id_of_the_new_job(run: Callable[..., int], capsys: pytest.CaptureFixture[str]):
    assert run(f"retry {JOB_ID}", answer(status=202, job_id="new", retry_of=JOB_ID)) == 0
    assert capsys.readouterr().out == "new\n"


def test_list_prints_a_table(run: Callable[..., int], capsys: pytest.CaptureFixture[str]):
    jobs = page(record("running", attempt=1, labels={"team": "a", "run": "7"}), record(type="echo"))
    assert run("list --state running --type echo --label team=a", jobs) == 0
    assert capsys.readouterr().out.splitlines() == [
        "ID                                    TYPE        STATE    ATTEMPT  CREATED               LABELS",
        f"{JOB_ID}  word_count  running  1/3      2026-01-01 12:00:00Z  team=a run=7",
        f"{JOB_ID}  echo        pending  0/3      2026-01-01 12:00:00Z",
    ]


def test_list_prints_records_for_programs(run: Callable[..., int], capsys: pytest.CaptureFixture[str]):
    assert run("list --json", page(record(), record("running"))) == 0
    assert [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()] == [
        "pending",
        "running",
    ]


# -- what is shown of a job


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        (job(), "░░░░░░░░░░        pending     0:05"),
        (
            job("running", progress=HALF, attempt=1),
            "█████░░░░░   50%  running     0:05  counting",
        ),
        (
            job("running", progress=HALF, cancel_requested=True),
            "█████░░░░░   50%  cancelling  0:05  counting",
        ),
        (
            job("pending", errors=[FAILURE], attempt=1),
            "░░░░░░░░░░        pending     0:05  attempt 1 of 3: It was asked to fail.",
        ),
        (job("completed", attempt=2), "██████████  100%  completed   0:05  attempt 2 of 3"),
        (job("running", progress={"fraction": 0.999}), "█████████░  100%  running     0:05"),
        (
            job("running", progress={"fraction": 0, "message": "a\nb\x1b[H"}),
            "░░░░░░░░░░    0%  running     0:05  a b [H",
        ),
    ],
)
def test_the_bar_tells_how_far_the_job_is(shown: Job, line: str):
    assert bar_line(shown, 5.9, 60) == line[:60]


def test_the_bar_fits_the_terminal():
    shown = job("running", progress={"fraction": 0.5, "message": "long " * 100})
    for columns in (1, 20, 80, 300):
        assert len(bar_line(shown, 1, columns)) == columns
    assert bar_line(shown, 1, 300).count("█") == 20


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (61, "1:01"), (3600, "1:00:00"), (90061, "25:01:01")]
)
def test_the_clock(seconds: float, text: str):
    assert clock(seconds) == text


def test_a_change_in_one_line():
    assert change_line(job("running", progress=HALF)) == "running      50%  counting"


def test_a_table_of_nothing_is_its_heading():
    assert list(table([])) == ["ID  TYPE  STATE  ATTEMPT  CREATED  LABELS"]


def test_the_live_line_is_drawn_on_a_terminal():
    here, terminal = pty.openpty()
    with os.fdopen(here, "rb", buffering=0) as screen, os.fdopen(terminal, "w") as out:
        with LiveDisplay(out) as line:
            line.show(job("running", progress=HALF))
            line.show(job("completed"))
        drawn = screen.read(10_000).decode()
    last = drawn.split(ERASE_LINE)[-1]
    assert "100%  completed   0:00" in last
    assert last.endswith("\n")
