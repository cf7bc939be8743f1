"""Processes whose output can't be written: jobs and requests go on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dev.service import GRACEFUL_EXITS, serving
from dev.stack import join, terminate

JOBS = 20


@contextmanager
def broken_pipe() -> Iterator[int]:
    """A pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextmanager
def full_disk() -> Iterator[int]:
    full = os.open("/dev/full", os.O_WRONLY)
    yield full
    os.close(full)


@contextmanager
def stalled_pipe() -> Iterator[int]:
    """A full pipe whose reader reads nothing."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    yield writer
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("output", [broken_pipe, full_disk, stalled_pipe])
def test_jobs_are_performed_at_their_first_attempt_and_requests_answered(output):
    with output() as descriptor, serving(api=False) as service:
        stack = service.stack
        stack.descriptor = descriptor
        stack.start_api()
        worker = stack.start_worker()
        jobs = [service.submit("echo", message="hello") for _ in range(JOBS)]
        records = [service.wait_for(job_id, "completed") for job_id in jobs]
        assert {record["attempt"] for record in records} == {1}
        assert stack.api is not None
        for process in (worker, stack.api):
            terminate(process)
        assert join(worker) == 0
        assert join(stack.api) in GRACEFUL_EXITS
