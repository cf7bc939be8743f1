"""A job ends and frees its slot, whatever fails in the engine around it."""

from collections.abc import Callable
from typing import Any, NoReturn, cast

import pytest
from arq.jobs import serialize_job
from orjson import dumps

from shared.job_type import JobType, Params
from shared.store.job_leases import Claim, OutcomeKind
from tests.unit.worker.pools import until
from worker.context import JobContext
from worker.execute import execute
from worker.files import AttemptFiles
from worker.handler import Handler
from worker.running_jobs import RunningJobs


class Work(Params):
    pass


WORK = JobType(
    name="work", summary="", params=Work, result=type(None), example={}, timeout=3600, max_attempts=3
)
MESSAGE = serialize_job("work", ["a-job"], {}, None, 0, serializer=dumps)
CLAIM = Claim("default", "a-job", 7, 1, 3, MESSAGE, b"{}", "a-request", "7:a-job")


def fail(*arguments: object, **fields: object) -> NoReturn:
    raise OSError("no space left on device")


class Broken:
    """A part of the engine of which every call fails."""

    info = warning = error = exception = artifacts_json = staticmethod(fail)

    async def close(self) -> None:
        pass


async def fail_late(*arguments: Any, **fields: Any) -> NoReturn:
    await execute(*arguments, **fields)
    fail()


async def succeed(params: Work, job: JobContext) -> None:
    job.progress(0.5)


async def raise_an_error(params: Work, job: JobContext) -> None:
    raise ValueError("no")


async def save(params: Work, job: JobContext) -> None:
    job.files = cast(AttemptFiles, Broken())


async def kind_of_end(function: Callable[..., Any]) -> OutcomeKind:
    """Kind of the outcome of a job with this handler, which must free its slot."""
    ended: list[bool] = []
    jobs = RunningJobs(1, {"work": Handler(WORK, function)}, max_result_bytes=100, on_report=lambda: None)
    jobs.on_end = lambda: ended.append(jobs.free == 1)
    jobs.start(CLAIM)
    await until(lambda: ended, seconds=2)
    (finished,) = jobs.finished
    assert (ended, jobs.running, finished.claim) == ([True], {}, CLAIM)
    return finished.outcome.kind


@pytest.mark.parametrize(
    ("part", "broken", "kind"),
    [
        ("worker.attempt_end.log", Broken(), OutcomeKind.COMPLETED),
        ("worker.execute.log", Broken(), OutcomeKind.RETRY),
        ("worker.running_jobs.execute", fail_late, OutcomeKind.RETRY),
        ("worker.context.JobContext.pending_report", fail, OutcomeKind.COMPLETED),
        ("worker.context.JobContext.close", fail, OutcomeKind.COMPLETED),
    ],
)
async def test_a_job_ends_although_a_part_of_the_engine_fails(
    part: str, broken: object, kind: OutcomeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part, broken)
    assert await kind_of_end(succeed) is kind


@pytest.mark.parametrize("part", ["worker.execute.log", "worker.attempt_end.log"])
async def test_an_error_is_written_although_the_log_fails(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, Broken())
    assert await kind_of_end(raise_an_error) is OutcomeKind.RETRY


async def test_a_job_has_not_completed_whose_artifacts_can_not_be_listed() -> None:
    assert await kind_of_end(save) is OutcomeKind.RETRY


async def test_a_job_is_abandoned_although_the_log_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = RunningJobs(1, {"work": Handler(WORK, succeed)}, max_result_bytes=100, on_report=lambda: None)
    jobs.start(CLAIM)
    jobs.release()
    monkeypatch.setattr("worker.running_jobs.log", Broken())
    jobs.abandon()
    assert [finished.outcome.kind for finished in jobs.finished] == [OutcomeKind.RELEASED]


async def test_the_news_of_the_other_jobs_are_told_although_those_of_one_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs = RunningJobs(1, {"work": Handler(WORK, succeed)}, max_result_bytes=100, on_report=lambda: None)
    jobs.start(CLAIM)
    jobs.running[CLAIM.lease].context.progress(0.5)
    monkeypatch.setattr("worker.context.JobContext.pending_report", fail)
    assert jobs.pending_reports() == []
