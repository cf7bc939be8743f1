"""The command line with closed or full streams, other encodings, or a wrong environment."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from client import Job
from client.command_line.commands import main
from client.command_line.display import PLAIN_BAR, bar_line
from dev.stack import ROOT
from tests.unit.client.fake_server import JOB_ID, event, record

RESULT = {"text": "ü█"}
GET = ("get", JOB_ID)
WATCH = ("submit", "echo", "--watch")


class Jobs(BaseHTTPRequestHandler):
    """Handler that answers every request with the same completed job."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        stream = self.path.endswith("/events")
        body = json.dumps(record("completed", result=RESULT)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if stream else "application/json")
        self.end_headers()
        self.wfile.write(event("completed", 3, result=RESULT) if stream else body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Jobs) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run(
    url: str, *arguments: str, redirection: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line to its end, with its streams redirected by bash."""
    plain = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirection}', "bash", sys.executable, "-m", "client", *arguments],
        cwd=ROOT,
        env={**plain, "JOB_SERVER_URL": url, **environment},
        capture_output=True,
        timeout=30,
    )


def one_line(output: bytes) -> str:
    [line] = output.decode().splitlines()
    return line


def test_a_result_is_escaped_where_the_terminal_lacks_its_letters(url: str):
    ended = run(url, *WATCH, PYTHONIOENCODING="latin-1")
    assert ended.returncode == 0
    assert json.loads(ended.stdout) == RESULT


def test_nothing_is_submitted_while_standard_output_is_closed(url: str):
    ended = run("http://127.0.0.1:9", *WATCH, redirection=">&-")
    assert ended.returncode == 2
    assert one_line(ended.stderr).endswith("Open it, or redirect it to a file or to /dev/null.")


def test_a_result_on_a_full_disk_names_the_job(url: str):
    for arguments in (WATCH, ("submit", "echo")):
        ended = run(url, *arguments, redirection=">/dev/full")
        assert ended.returncode == 2
        assert f"python -m client get {JOB_ID}" in ended.stderr.decode().splitlines()[-1]


def test_a_record_on_a_full_disk_is_exit_code_2(url: str):
    ended = run(url, *GET, redirection=">/dev/full")
    assert ended.returncode == 2
    assert "No space left on device. Free some space" in one_line(ended.stderr)


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_without_standard_error_the_result_is_printed(url: str, redirection: str):
    ended = run(url, *WATCH, redirection=redirection)
    assert ended.returncode == 0
    assert json.loads(ended.stdout) == RESULT


def test_without_standard_error_a_complaint_is_dropped(url: str):
    ended = run("http://127.0.0.1:9", "get", "x", "--url", "ftp://a", redirection="2>&-")
    assert (ended.returncode, ended.stdout) == (2, b"")


def test_a_reader_that_closes_the_pipe_is_no_error(url: str):
    ended = run(url, *GET, redirection="| true; exit ${PIPESTATUS[0]}")
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize("line", ["upload -", "submit echo --param a=@-"])
def test_a_closed_standard_input_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
):
    monkeypatch.setattr("sys.stdin", None)
    with suppress(SystemExit):  # of the arguments
        assert main(line.split()) == 2
    assert "Standard input is closed" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("ALL_PROXY", "socks://u:s3cret@127.0.0.1:9", "Correct or unset ALL_PROXY"),
        ("ALL_PROXY", "socks5://u:s3cret@127.0.0.1:9", "needs the package httpx[socks]"),
        ("NO_PROXY", "[::1]", "Correct or unset NO_PROXY"),
        ("SSL_CERT_FILE", "/nowhere", "Correct or unset SSL_CERT_FILE"),
    ],
)
def test_an_unusable_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, text: str
):
    for other in [other for other in os.environ if other.lower().endswith("_proxy")]:
        monkeypatch.delenv(other)
    monkeypatch.setenv(name, value)
    assert main(GET) == 2
    line = one_line(capsys.readouterr().err.encode())
    assert text in line
    assert "s3cret" not in line


def test_the_bar_is_plain_where_the_terminal_has_no_blocks():
    half = Job.from_record(record("running", progress={"fraction": 0.5, "message": ""}))
    assert bar_line(half, 1, 60, PLAIN_BAR).startswith("#####.....")
