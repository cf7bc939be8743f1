"""The job type `flaky`: fails on purpose, to show retries, backoff and the errors of a record."""

from typing import Annotated

from pydantic import BaseModel, Field

from shared.job_type import Backoff, JobType, Params


class FlakyParams(Params):
    failures: Annotated[int, Field(ge=0, le=100, description="Attempts that fail before one succeeds.")] = 0
    final: Annotated[bool, Field(description="Fail at once, with an error that no retry can mend.")] = False


class FlakyResult(BaseModel):
    attempts: int


FLAKY = JobType(
    name="flaky",
    summary="Fail a number of times with a retryable error, then succeed; or fail at once for good.",
    params=FlakyParams,
    result=FlakyResult,
    example={"failures": 2},
    timeout=30,
    max_attempts=5,
    backoff=Backoff(first=0.2, longest=5),
)
