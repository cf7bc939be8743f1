"""The job types `doubled` and `hasty`: a number by 2, in batches; `hasty` has a timeout of a second."""

from dataclasses import replace
from typing import Literal

from shared.job_type import Backoff, JobType, Params

BATCH_SIZE = 64
Act = Literal["none", "raise", "refuse", "abort", "hang", "unfit", "report", "crowd", "trace"]


class DoubledParams(Params):
    number: int
    act: Act = "none"


DOUBLED = JobType(
    name="doubled",
    summary="Double a number.",
    params=DoubledParams,
    result=int,
    example={"number": 21},
    queue="doubled",
    timeout=60,
    max_attempts=2,
    backoff=Backoff(first=0.05),
)
HASTY = replace(DOUBLED, name="hasty", queue="hasty", timeout=1)
