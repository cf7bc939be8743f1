"""With TRACES=off, requests and attempts run no code of tracing, and nothing is allocated for it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from httpx import AsyncClient

from shared.traces.context import trace_context
from tests.manual_worker import ManualWorker
from tests.unit.worker.attempts import WORK, Work, a_job
from tests.unit.worker.pools import until
from worker.context import JobContext
from worker.handler import Handler
from worker.running_jobs import RunningJobs

MODULES = (
    "opentelemetry",
    "shared.traces",
    "worker.attempt_spans",
    "api.traced_queue",
    "api.middleware.tracing",
)
TIMES = 1000


@contextmanager
def calls_of_tracing() -> Iterator[set[str]]:
    """The functions of tracing that are called within the block."""
    called: set[str] = set()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and str(frame.f_globals.get("__name__")).startswith(MODULES):
            called.add(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(None)


async def test_a_submission_only_looks_for_the_header(client: AsyncClient, worker: ManualWorker):
    job = {"type": "echo", "params": {"message": "hi"}}
    with calls_of_tracing() as called:
        answer = await client.post("/jobs", json=job)
        assert (await client.get(answer.headers["location"])).status_code == 200
        await worker.claim_one()
    assert called == {"trace_context"}


async def test_an_attempt_calls_nothing():
    async def succeed(params: Work, job: JobContext) -> int:
        return params.size

    jobs = RunningJobs(1, {"work": Handler(WORK, succeed)}, max_result_bytes=100, on_report=lambda: None)
    with calls_of_tracing() as called:
        jobs.start(a_job().claim)
        await until(lambda: jobs.finished)
    assert called == set()


def test_the_look_for_the_header_allocates_nothing_that_stays():
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    before = sys.getallocatedblocks()
    found = {trace_context(headers) for _ in range(TIMES)}
    assert sys.getallocatedblocks() - before < TIMES / 10
    assert found == {None}
