"""The job type `hostile`: puts a text wherever a handler can put one."""

from typing import Any

from shared.job_type import JobType, Params


class HostileParams(Params):
    text: str
    fails: bool = False


HOSTILE = JobType(
    name="hostile",
    summary="Put a text into the log, the output, the progress, the result or the error.",
    params=HostileParams,
    result=dict[str, Any],
    example={"text": "hello"},
    max_attempts=1,
)
