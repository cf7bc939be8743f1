"""The worker's settings: each field is the environment variable of the same name."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from shared.settings import Name, SharedSettings


class WorkerSettings(SharedSettings):
    worker_queues: Annotated[
        tuple[Name, ...],
        NoDecode,
        Field(min_length=1, description="Queues to serve, separated by commas, in strict order"),
    ] = ("default",)
    worker_slots: Annotated[int, Field(ge=1, le=1000, description="Jobs at once in one process")] = 10
    worker_lease_seconds: Annotated[
        float, Field(ge=1, le=3600, description="Seconds after which a dead worker's jobs go to another one")
    ] = 15
    worker_grace_seconds: Annotated[
        float, Field(ge=0, le=86400, description="Seconds that running jobs have to finish at shutdown")
    ] = 25
    worker_max_result_bytes: Annotated[int, Field(ge=1, description="Largest result of a job")] = 4194304

    worker_sweep_seconds: Annotated[
        float,
        Field(ge=1, le=86400, description="Seconds between two looks for files that are of no use any more"),
    ] = 60

    @field_validator("worker_queues", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        queues = [name.strip() for name in value.split(",") if name.strip()]
        if len(set(queues)) < len(queues):
            raise ValueError("must name each queue once")
        return queues
