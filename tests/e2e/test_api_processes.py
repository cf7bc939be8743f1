"""`python -m api --workers`: several processes of the API on one port."""

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator

import httpx
import pytest

from dev.service import Service, serving
from dev.stack import Process, free_port, wait_until
from tests.unit.worker.pools import lives

STARTED = re.compile(r"Started server process \[(\d+)\]")
SUBMITTED = re.compile(r"^job_server_jobs_submitted_total\{.*\} (.*)$", re.MULTILINE)
JOB = {"type": "echo", "params": {"message": 1}}


class Processes:
    """An API of two processes.

    Attributes:
        parent: the process that was started.
        url: the URL of both.
    """

    def __init__(self, service: Service) -> None:
        port = free_port()
        command = [sys.executable, "-m", "api", "--workers", "2", "--port", str(port)]
        self._stack = service.stack
        self.parent: Process = service.stack.spawn("processes", command)
        self.url = f"http://127.0.0.1:{port}"
        wait_until(lambda: self._output().count("Application startup complete") >= 2, "both serve")

    def children(self) -> list[int]:
        """Process ids of the children, those that ended included, in the order of their start."""
        return [int(number) for number in STARTED.findall(self._output())]

    def submit(self) -> httpx.Response:
        """Submit a job on a connection of its own."""
        return httpx.post(f"{self.url}/jobs", json=JOB)

    def submitted(self) -> list[float]:
        """The counter of accepted jobs of ten scrapes, each on a connection of its own."""
        scrapes = [httpx.get(f"{self.url}/metrics").text for _ in range(10)]
        return [sum(map(float, SUBMITTED.findall(scrape))) for scrape in scrapes]

    def end(self) -> str:
        """End all processes; returns their output."""
        self.parent.terminate()
        self.parent.wait()
        return self._output()

    def _output(self) -> str:
        return self._stack.output("processes")


@pytest.fixture
def processes() -> Iterator[Processes]:
    with serving(api=False) as service:
        processes = Processes(service)
        yield processes
        output = processes.end()
        assert "Traceback" not in output
        assert not any(lives(child) for child in processes.children())


def test_a_process_that_is_killed_is_started_again_and_the_others_serve(processes: Processes):
    first, second = processes.children()
    for _ in range(20):
        processes.submit()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(processes.children()) == 3, "another process serves")
    wait_until(lambda: processes.submit().status_code == 202, "jobs are accepted")
    assert lives(second)
    assert processes.submitted() == [21] * 10  # whichever process answers, and even of the one that is gone


def test_a_shutdown_answers_every_request_that_was_accepted(processes: Processes):
    answers, refused = [], threading.Event()

    def submit() -> None:
        with httpx.Client() as client:
            while not refused.is_set():
                try:
                    answers.append(client.post(f"{processes.url}/jobs", json=JOB).status_code)
                except httpx.ConnectError:
                    refused.set()
                except (httpx.RemoteProtocolError, httpx.ReadError):
                    answers.append(0)  # the connection ended before the request was read

    clients = [threading.Thread(target=submit) for _ in range(4)]
    for client in clients:
        client.start()
    wait_until(lambda: len(answers) > 100, "the clients are served")
    output = processes.end()
    for client in clients:
        client.join()
    accepted = output.count('"status":202')
    assert set(answers) <= {202, 0}
    assert answers.count(202) == accepted


def test_a_port_in_use_ends_the_api_with_one_line():
    with serving() as service:
        port = str(service.stack.api_port)
        process = service.stack.spawn(
            "second", [sys.executable, "-m", "api", "--workers", "2", "--port", port]
        )
        assert process.wait() == 3
        (line,) = service.stack.output("second").splitlines()
        assert "ddress already in use" in line
