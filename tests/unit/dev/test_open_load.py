"""The load of the fault suite that does not wait for answers, on a server that refuses or hangs."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from threading import Event, Lock, Thread

import pytest

from chaos import open_load, open_loop
from chaos.open_load import OpenLoad
from dev.stack import wait_until

RATE = 200
ID = "00000000-0000-7000-8000-{:012d}"


class Api(ThreadingHTTPServer):
    """Accepts submissions, or refuses the first requests; answers nothing until `answering` is set.

    Attributes:
        requests: Idempotency-Key and body of each request.
        refusing: the number of requests that get a 503 yet.
        status: that of all other answers.
    """

    daemon_threads = True
    request_queue_size = 1000

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes]] = []
        self.refusing = 0
        self.status = 202
        self.answering = Event()
        self._turn = Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    def status_of_next(self) -> int:
        with self._turn:
            self.refusing -= 1
            return self.status if self.refusing < 0 else 503


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Api

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Idempotency-Key"]
        self.server.requests.append((key, body))
        self.server.answering.wait()
        answer = json.dumps({"job_id": ID.format(int(key.rpartition("-")[2]))}).encode()
        self.send_response(self.server.status_of_next())
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.answering.set()
        server.shutdown()
        thread.join()


def load_on(api: Api) -> OpenLoad:
    return OpenLoad(api.server_address[1], rate=RATE, seconds=(0, 1), rng=Random(1))


def test_submissions_go_on_while_no_answer_comes(api: Api) -> None:
    with load_on(api) as load:
        wait_until(lambda: len(api.requests) >= 50, "50 requests wait for their answers")
        assert load.accepted == []
        api.answering.set()
    assert len(load.accepted) == len(load.submissions) == len(api.requests) >= 50
    assert load.repeated == 0


def test_a_refused_submission_is_repeated_with_its_key_until_it_is_accepted(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_load, "REPEAT_SECONDS", (0.0,))
    api.refusing = 30
    api.answering.set()
    with load_on(api) as load:
        wait_until(lambda: load.accepted, "a submission is accepted")
    assert len(set(load.accepted)) == len(load.submissions)
    assert len(set(api.requests)) == len(load.submissions)
    assert sum(submission.refused for submission in load.submissions) == 30
    assert len(api.requests) == len(load.submissions) + 30


def test_a_submission_that_is_never_accepted_has_no_job_id(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_loop, "END_SECONDS", 0.0)
    with load_on(api) as load:
        wait_until(lambda: api.requests, "the first request has come")
    assert load.submissions
    assert load.accepted == []


def test_an_answer_that_no_fault_explains_ends_the_load_with_an_error(api: Api) -> None:
    api.status = 422
    api.answering.set()
    with pytest.raises(ExceptionGroup) as raised, load_on(api) as load:
        wait_until(lambda: load.submissions, "the first submission is sent")
    assert "A submission got 422" in str(raised.value.exceptions[0])
