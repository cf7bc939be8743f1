"""The job type `sleep`: stands in for long work, and can be cancelled at any moment."""

from typing import Annotated

from pydantic import BaseModel, Field

from shared.job_type import JobType, Params


class SleepParams(Params):
    seconds: Annotated[float, Field(ge=0, le=3600, description="How long to sleep.")]


class SleepResult(BaseModel):
    slept: float


SLEEP = JobType(
    name="sleep",
    summary="Sleep for some seconds, reporting progress.",
    params=SleepParams,
    result=SleepResult,
    example={"seconds": 2},
    timeout=3660,
)
