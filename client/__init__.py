"""The Python client of the job server: `Client` blocks, `AsyncClient` awaits, both do the same.

    with Client("http://127.0.0.1:8000", key="…") as client:
        job = client.submit("word_count", {"text": "to be or not to be"})
        for change in client.stream(job):
            print(change.state, change.progress)
        print(client.result(job))

It needs httpx and nothing else of this project. `python -m client` is the same on the command line.
`client.webhooks.verify` is for programs that receive webhooks; it needs nothing but Python.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from client import webhooks
    from client.deliveries import Delivery, Webhook
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
    from client.faces import AsyncClient, Client
    from client.job import Artifact, AttemptError, Job, NewJob, Progress
    from client.records import File, LogLine
    from client.retries import Retries

__all__ = [
    "Artifact",
    "AsyncClient",
    "AttemptError",
    "Client",
    "DamagedDownload",
    "Delivery",
    "File",
    "Job",
    "JobExpired",
    "JobFailed",
    "JobServerError",
    "LogLine",
    "NewJob",
    "NotDoneInTime",
    "NotFound",
    "NotGenuine",
    "Progress",
    "Retries",
    "ServerUnreachable",
    "Webhook",
    "webhooks",
]

_PLACES = {
    "AsyncClient": "client.faces",
    "Client": "client.faces",
    "Artifact": "client.job",
    "AttemptError": "client.job",
    "Job": "client.job",
    "NewJob": "client.job",
    "Progress": "client.job",
    "Delivery": "client.deliveries",
    "Webhook": "client.deliveries",
    "File": "client.records",
    "LogLine": "client.records",
    "Retries": "client.retries",
}
"""Modules of the names; those that are not listed are errors."""


def __getattr__(name: str) -> Any:
    """Import a name at its first use: only `Client` and `AsyncClient` need httpx."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "webhooks":
        return import_module("client.webhooks")
    value = getattr(import_module(_PLACES.get(name, "client.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
