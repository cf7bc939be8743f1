"""The job types `hostile` and `away`: put a text wherever a handler can put one, and end as they are told."""

from dataclasses import replace
from typing import Any, Literal

from shared.job_type import Backoff, JobType, Params


class HostileParams(Params):
    text: str
    seconds: float = 0
    end: Literal["completed", "failed", "retried"] = "completed"


HOSTILE = JobType(
    name="hostile",
    summary="Put a text into the log, the output, the progress, the result or the error.",
    params=HostileParams,
    result=dict[str, Any],
    example={"text": "hello"},
    max_attempts=3,
    backoff=Backoff(first=3600),
)
AWAY = replace(HOSTILE, name="away", queue="away")
