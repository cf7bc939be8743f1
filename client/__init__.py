"""The Python client of the job server: `Client` blocks, `AsyncClient` awaits, both have the same methods.

    with Client("http://127.0.0.1:8000", key="…") as client:
        job = client.submit("word_count", {"text": "to be or not to be"})
        for change in client.stream(job):
            print(change.state, change.progress)
        print(client.result(job))

The client needs httpx and nothing else of this project. `python -m client` is the command line, and
`client.webhooks.verify` checks received webhooks, with nothing but Python.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from client import webhooks
    from client.client import AsyncClient, Client
    from client.errors import (
        DamagedDownload,
        JobExpired,
        JobFailed,
        JobServerError,
        NotDoneInTime,
        NotFound,
        NotGenuine,
        ServerUnreachable,
    )
    from client.filters import JobFilters
    from client.models.bulk import BulkChange, BulkRefusal, Drained
    from client.models.figures import (
        Bucket,
        Figures,
        History,
        JobTypeFigures,
        Percentiles,
        Sampled,
        ServiceEvent,
        Shards,
        Snapshot,
        Unavailable,
        WorkerTotals,
    )
    from client.models.files import File
    from client.models.jobs import Artifact, Attempt, AttemptError, Job, JobPage, NewJob, Progress
    from client.models.logs import LogLine, OutputChunk
    from client.models.queues import EndedJobs, Pause, QueueStatus, RunningJob, WorkerList, WorkerStatus
    from client.models.webhooks import Delivery, Webhook
    from client.retries import Retries

__all__ = [
    "Artifact",
    "AsyncClient",
    "Attempt",
    "AttemptError",
    "Bucket",
    "BulkChange",
    "BulkRefusal",
    "Client",
    "DamagedDownload",
    "Delivery",
    "Drained",
    "EndedJobs",
    "Figures",
    "File",
    "History",
    "Job",
    "JobExpired",
    "JobFailed",
    "JobFilters",
    "JobPage",
    "JobServerError",
    "JobTypeFigures",
    "LogLine",
    "NewJob",
    "NotDoneInTime",
    "NotFound",
    "NotGenuine",
    "OutputChunk",
    "Pause",
    "Percentiles",
    "Progress",
    "QueueStatus",
    "Retries",
    "RunningJob",
    "Sampled",
    "ServerUnreachable",
    "ServiceEvent",
    "Shards",
    "Snapshot",
    "Unavailable",
    "Webhook",
    "WorkerList",
    "WorkerStatus",
    "WorkerTotals",
    "webhooks",
]

_MODULES = {
    "client.client": ["AsyncClient", "Client"],
    "client.filters": ["JobFilters"],
    "client.models.bulk": ["BulkChange", "BulkRefusal", "Drained"],
    "client.models.figures": [
        "Bucket",
        "Figures",
        "History",
        "JobTypeFigures",
        "Percentiles",
        "Sampled",
        "ServiceEvent",
        "Shards",
        "Snapshot",
        "Unavailable",
        "WorkerTotals",
    ],
    "client.models.files": ["File"],
    "client.models.jobs": ["Artifact", "Attempt", "AttemptError", "Job", "JobPage", "NewJob", "Progress"],
    "client.models.logs": ["LogLine", "OutputChunk"],
    "client.models.queues": ["EndedJobs", "Pause", "QueueStatus", "RunningJob", "WorkerList", "WorkerStatus"],
    "client.models.webhooks": ["Delivery", "Webhook"],
    "client.retries": ["Retries"],
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
"""Module of each name; all others are in `client.errors`."""


def __getattr__(name: str) -> Any:
    """Import a name at its first use: only `Client` and `AsyncClient` need httpx."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "webhooks":
        return import_module("client.webhooks")
    value = getattr(import_module(_MODULE_OF.get(name, "client.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
