"""The Python client of the job server: `Client` blocks, `AsyncClient` awaits, both do the same.

    with Client("http://127.0.0.1:8000", key="…") as client:
        job = client.submit("word_count", {"text": "to be or not to be"})
        for change in client.stream(job):
            print(change.state, change.progress)
        print(client.result(job))

It needs httpx and nothing else of this project. `python -m client` is the same on the command line.
`client.webhooks.verify` is for programs that receive webhooks.
"""

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
