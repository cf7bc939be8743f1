"""The worker's settings: each field is the environment variable of the same name."""

import os
from typing import Annotated, Any

from pydantic import AliasChoices, Field, field_validator, model_validator
from pydantic_settings import NoDecode

from shared.cpus import available_cpus
from shared.settings import Name, SharedSettings

Device = Annotated[str, Field(pattern=r"^(cpu|[0-9]{1,3})$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]


def worker_slots() -> str | None:
    """WORKER_SLOTS, the older name of WORKER_CONCURRENCY, as the environment gives it."""
    return _variable("worker_slots")


def _variable(field: str) -> str | None:
    """The environment variable of a field, in capitals or not."""
    return next((value for name, value in os.environ.items() if name.lower() == field), None)


class WorkerSettings(SharedSettings):
    worker_queues: Annotated[
        tuple[Name, ...],
        NoDecode,
        Field(min_length=1, description="Queues to serve, separated by commas, in strict order"),
    ] = ("default",)
    worker_concurrency: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            validation_alias=AliasChoices("worker_concurrency", "worker_slots"),
            description="Jobs at once in one process",
        ),
    ] = 10
    worker_webhooks: Annotated[
        int, Field(ge=1, le=1000, description="Webhooks to deliver at once in one process, besides the jobs")
    ] = 10
    worker_lease_seconds: Annotated[
        float, Field(ge=1, le=3600, description="Seconds after which a dead worker's jobs go to another one")
    ] = 15
    worker_grace_seconds: Annotated[
        float, Field(ge=0, le=86400, description="Seconds that running jobs have to finish at shutdown")
    ] = 25
    worker_max_jobs: Annotated[
        int, Field(ge=0, description="Jobs after which a worker ends, to be started anew; 0: no limit")
    ] = 0
    worker_max_rss_bytes: Annotated[
        int,
        Field(
            ge=0,
            description="Resident memory above which a worker ends, to be started anew, without that of its "
            "child processes; 0: no limit",
        ),
    ] = 0
    worker_max_result_bytes: Annotated[int, Field(ge=1, description="Largest result of a job")] = 4194304
    worker_processes: Annotated[
        int,
        Field(
            default_factory=available_cpus,
            ge=1,
            le=1000,
            description="Child processes for functions that compute; empty: one per CPU",
        ),
    ]
    worker_process_max_calls: Annotated[
        int, Field(ge=1, description="Calls after which a child process is replaced")
    ] = 1000
    worker_process_max_rss_bytes: Annotated[
        int, Field(ge=1, description="Resident memory above which a child process is replaced after a call")
    ] = 1073741824
    worker_process_max_memory_bytes: Annotated[
        int,
        Field(
            ge=0,
            description="Memory that a function in a child process may take at once; 0: as much as there is",
        ),
    ] = 4294967296
    worker_child_environment: Annotated[
        tuple[Variable, ...],
        NoDecode,
        Field(
            description="Variables that child processes get besides the harmless ones, separated by commas"
        ),
    ] = ()
    worker_devices: Annotated[
        tuple[Device, ...],
        NoDecode,
        Field(
            min_length=1,
            description="Devices of models, separated by commas: `cpu`, or numbers of GPUs; each model has a "
            "process on each",
        ),
    ] = ("cpu",)
    worker_model_threads: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="Threads of the process of a model; 0: the CPUs divided by the processes of a model",
        ),
    ] = 0
    worker_sweep_seconds: Annotated[
        float,
        Field(
            ge=1,
            le=86400,
            description="Seconds between two sweeps of the file store, which remove the files that no record "
            "needs",
        ),
    ] = 60

    worker_metrics_port: Annotated[
        int, Field(ge=0, le=65535, description="Port on which metrics are served, for Prometheus; 0: none")
    ] = 0
    worker_metrics_host: Annotated[
        str, Field(min_length=1, description="Address on which metrics are served")
    ] = "127.0.0.1"

    @field_validator("worker_queues", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        queues = [name.strip() for name in value.split(",") if name.strip()]
        if len(set(queues)) < len(queues):
            raise ValueError("must name each queue once")
        return queues

    @model_validator(mode="before")
    @classmethod
    def _keep_older_name(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Key the value of WORKER_SLOTS by that name: the refusal of a wrong value names its key."""
        older = worker_slots()
        if older is None or _variable("worker_concurrency") is not None:
            return values
        if values.get("worker_concurrency") != older:
            return values
        renamed = {name: value for name, value in values.items() if name != "worker_concurrency"}
        return {**renamed, "worker_slots": older}

    @field_validator("worker_concurrency", mode="before")
    @classmethod
    def _refuse_two_names(cls, value: object) -> object:
        older = worker_slots()
        if isinstance(value, str) and older and older.strip() != value.strip():
            raise ValueError(f"differs from WORKER_SLOTS={older}, its older name; remove WORKER_SLOTS")
        return value

    @field_validator("worker_child_environment", "worker_devices", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return [name.strip() for name in value.split(",") if name.strip()]

    @field_validator("worker_processes", mode="before")
    @classmethod
    def _count(cls, value: object) -> object:
        return available_cpus() if value == "" else value
