"""Handler of the job type `flaky`."""

from job_types.flaky.contract import FLAKY, FlakyParams, FlakyResult
from shared.errors import FinalError, RetryableError
from worker.context import JobContext
from worker.registry import handles


@handles(FLAKY)
async def flaky(params: FlakyParams, job: JobContext) -> FlakyResult:
    if params.final:
        raise FinalError("This job was asked to fail for good.", code="flaky_final")
    if job.attempt <= params.failures:
        raise RetryableError(f"This is failure {job.attempt} of {params.failures}.", code="flaky_failure")
    return FlakyResult(attempts=job.attempt)
