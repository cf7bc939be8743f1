"""Job types of models: `doubled`, `hasty` with a timeout of a second, `patient` with small batches."""

from dataclasses import replace
from typing import Literal

from shared.job_type import Backoff, JobType, Params

BATCH_SIZE = 64
Act = Literal["none", "raise", "refuse", "abort", "hang", "unfit", "report", "crowd", "trace", "grow"]


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
PATIENT_SIZE = 3
PATIENT = replace(DOUBLED, name="patient", queue="patient")
HASTY = replace(DOUBLED, name="hasty", queue="hasty", timeout=1)
