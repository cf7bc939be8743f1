"""The job type `batched`: numbers doubled by a model host, some of which are poison."""

import os
import time
from typing import Literal

from shared.job_type import Backoff, JobType, Params
from worker.models.batch import Batch, Device
from worker.registry import handler_of, handles

BATCH_SIZE = 64
SECONDS_PER_BATCH = 0.05


class BatchedParams(Params):
    number: int
    act: Literal["none", "raise", "abort", "hang"] = "none"


BATCHED = JobType(
    name="batched",
    summary="",
    params=BatchedParams,
    result=int,
    example={"number": 1},
    queue="batched",
    timeout=2,
    max_attempts=6,
    backoff=Backoff(first=0.1, longest=0.3),
)


def load(device: Device) -> int:
    """The model: a factor."""
    return 2


@handles(BATCHED, batch=Batch(setup=load, size=BATCH_SIZE))
def perform(model: int, params: list[BatchedParams]) -> list[int | Exception]:
    time.sleep(SECONDS_PER_BATCH)
    for given in params:
        if given.act == "raise":
            raise RuntimeError("poison")
        if given.act == "abort":
            os.abort()
        if given.act == "hang":
            time.sleep(600)
    return [model * given.number for given in params]


HANDLER = handler_of(perform)
