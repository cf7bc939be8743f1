"""New jobs for tests of the store, with ids that a test can name."""

from typing import Any

from shared.job_type import JobType, Params
from shared.store.retention import Retention
from shared.store.submission import NewJob

RETENTION = Retention(completed=100, failed=200, cancelled=300)


def new_job(
    job_id: str,
    queue: str = "default",
    *,
    job_type: str = "echo",
    max_attempts: int = 3,
    params: bytes = b"{}",
    **options: Any,
) -> NewJob:
    """A new job of a job type made for it; `options` are further fields of NewJob."""
    of_type = JobType(
        name=job_type,
        summary="",
        params=Params,
        result=type(None),
        example={},
        queue=queue,
        max_attempts=max_attempts,
    )
    return NewJob(of_type, params, "r-" + job_id, job_id=job_id, **options)
