"""The output of API and worker has no reader, no space, or a reader that stalls: jobs and requests go on."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from typing import Any

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, at_most, exactly, figure
from chaos.suite_options import SuiteOptions
from dev.service import GRACEFUL_EXITS, Service, started
from dev.stack import join, terminate, wait_until

JOBS = 2000
REQUEST_SECONDS = 3.0  # both processes may wait for their output, 1 s each
SETTLE_SECONDS = 30.0
DROPPED = "log lines were dropped"


class OutputPipe:
    """A pipe for the output of processes, with the text read from it so far."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.text = b""

    def read(self) -> None:
        """Read all that is in the pipe."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.reader, 1 << 20):
                self.text += data

    def close_reader(self) -> None:
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    def close(self) -> None:
        self.close_reader()
        os.close(self.writer)

    def lines(self) -> list[dict[str, Any]]:
        """The complete lines read so far."""
        return [json.loads(line) for line in self.text.splitlines(keepends=True) if line.endswith(b"\n")]


def run(options: SuiteOptions) -> list[Check]:
    jobs = options.scaled(JOBS, least=200)
    return [*without_reader(jobs), *on_full_disk(jobs), *stalled(jobs)]


def without_reader(jobs: int) -> list[Check]:
    with contextlib.closing(OutputPipe()) as pipe, writing_to(pipe.writer) as service:
        pipe.close_reader()
        return perform(service, jobs, "output without a reader")


def on_full_disk(jobs: int) -> list[Check]:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with writing_to(full) as service:
            return perform(service, jobs, "output on a full disk")
    finally:
        os.close(full)


def stalled(jobs: int) -> list[Check]:
    """Stall the reader while jobs run; afterwards it must read the count of dropped lines."""
    name = "output whose reader stalls"
    with contextlib.closing(OutputPipe()) as pipe, writing_to(pipe.writer) as service:
        checks = perform(service, jobs, name, end=False)
        pipe.read()
        again = [service.submit("sleep", seconds=0) for _ in range(3)]
        found = records.settled(service.redis, again, seconds=SETTLE_SECONDS)

        def counted() -> bool:
            pipe.read()
            return DROPPED.encode() in pipe.text

        with contextlib.suppress(TimeoutError):
            wait_until(counted, "the lines that were dropped are counted")
        checks += [*records.check_ends(f"{name}, then reads", found), *exit_codes(service, name)]
        pipe.read()
    counts = [line["count"] for line in pipe.lines() if line["event"] == DROPPED]
    return [
        *checks,
        exactly(f"{name}: runs without a count of dropped lines", int(not counts), 0),
        figure(f"{name}: lines dropped", f"{sum(counts):,}"),
    ]


@contextlib.contextmanager
def writing_to(output: int) -> Iterator[Service]:
    """Run an API and a worker whose output goes to a descriptor."""
    with chaos_service(api=False) as service:
        service.stack.descriptor = output
        worker = service.start_worker()
        service.stack.start_api()
        worker.wait_ready()
        yield service


def perform(service: Service, jobs: int, name: str, *, end: bool = True) -> list[Check]:
    """Submit jobs one by one; each must complete at its first attempt."""
    job_ids, slowest = [], 0.0
    for _ in range(jobs):
        begin = time.monotonic()
        job_ids.append(service.submit("sleep", seconds=0))
        slowest = max(slowest, time.monotonic() - begin)
    found = records.settled(service.redis, job_ids, seconds=SETTLE_SECONDS)
    charged = [r for r in found.values() if r.get("attempt") != "1" or r.get("state") != "completed"]
    return [
        *records.check_ends(name, found),
        exactly(f"{name}: jobs not completed at their first attempt", len(charged), 0),
        at_most(f"{name}: slowest request", slowest, REQUEST_SECONDS, "s"),
        *(exit_codes(service, name) if end else ()),
    ]


def exit_codes(service: Service, name: str) -> list[Check]:
    """Check that API and worker exit as they do with a working log."""
    processes = [service.workers[0].process, started(service.stack.api)]
    for process in processes:
        terminate(process)
    wrong = sum(join(process) not in GRACEFUL_EXITS for process in processes)
    return [exactly(f"{name}: processes with another exit code", wrong, 0)]
