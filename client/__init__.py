"""The Python client of the job server: `Client` blocks, `AsyncClient` awaits, both do the same.

    with Client("http://127.0.0.1:8000", key="…") as client:
        job = client.submit("word_count", {"text": "to be or not to be"})
        for change in client.stream(job):
            print(change.state, change.progress)
        print(client.result(job))

It needs httpx and nothing else of this project. `python -m client` is the same on the command line.
"""

from client.errors import JobFailed, JobServerError, NotDoneInTime, ServerUnreachable
from client.faces import AsyncClient, Client
from client.job import Artifact, AttemptError, Job, NewJob, Progress
from client.retries import Retries

__all__ = [
    "Artifact",
    "AsyncClient",
    "AttemptError",
    "Client",
    "Job",
    "JobFailed",
    "JobServerError",
    "NewJob",
    "NotDoneInTime",
    "Progress",
    "Retries",
    "ServerUnreachable",
]
