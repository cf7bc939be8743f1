"""Whatever the client raises of its own is a JobServerError.

JobServerError            the server refused; or one of these:
├── ServerUnreachable     no connection, or it broke, or there was no answer in time (a ConnectionError)
├── NotDoneInTime         the job is not done after the time that was given (a TimeoutError)
├── JobFailed             the job ended as failed or cancelled
├── NotFound              there is no such job, file, artifact or webhook
│   └── JobExpired        there was such a job, and it is kept no longer
├── DamagedDownload       what came is not what the job made
└── NotGenuine            a webhook that was received is not the server's, or is old
"""

from collections.abc import Mapping, Sequence
from typing import Any

from client.job import Job


class JobServerError(Exception):
    """Something went wrong; the text of the error says what, and what to do next.

    Attributes:
        code: stable, for programs.
        message: what went wrong, for people.
        hint: what to do next.
        retryable: whether the same request may succeed later.
        request_id: finds the server's log lines of this request.
        status: of the HTTP answer; None if there was none.
        details: the faults of the request: `path`, `message` and `kind` of each.
        retry_after: seconds that the server asked to wait for.
    """

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        *,
        retryable: bool = False,
        request_id: str | None = None,
        status: int | None = None,
        details: Sequence[Mapping[str, Any]] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.retryable = retryable
        self.request_id = request_id
        self.status = status
        self.details = details
        self.retry_after = retry_after

    def __str__(self) -> str:
        faults = [f"{fault.get('path') or 'body'}: {fault.get('message')}." for fault in self.details]
        source = f"[{self.code}, request {self.request_id}]" if self.request_id else f"[{self.code}]"
        return " ".join(filter(None, [self.message, *faults, self.hint, source]))


class NotFound(JobServerError):
    """There is no such thing; `code` says what: `job_not_found`, `file_not_found` and so on."""


class JobExpired(NotFound):
    """There was such a job; its time is over, and neither its record nor its files are there any more."""


class ServerUnreachable(JobServerError, ConnectionError):
    """No answer: no connection, one that broke, or silence for longer than the timeout."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        hint = "Check the address, and that the server runs."
        super().__init__("server_unreachable", message, hint, retryable=retryable)


class NotDoneInTime(JobServerError, TimeoutError):
    """The job is not done yet; it goes on.

    Attributes:
        job: as it was last seen.
    """

    def __init__(self, job: Job, seconds: float) -> None:
        message = f"The job {job.job_id} is still {job.state} after {seconds:g} s."
        super().__init__("not_done_in_time", message, "It goes on; look again later, or cancel it.")
        self.job = job


class JobFailed(JobServerError):
    """The job is done, and has no result: it failed, or it was cancelled.

    Attributes:
        job: as it ended.
    """

    def __init__(self, job: Job) -> None:
        if job.state == "failed" and job.errors:
            last = job.errors[-1]
            super().__init__(last.code, f"The job {job.job_id} failed: {last.message}", last.hint)
        else:
            super().__init__(f"job_{job.state}", f"The job {job.job_id} is {job.state}.")
        self.job = job


class DamagedDownload(JobServerError):
    """What came has another size or SHA-256 than the job's record says."""

    def __init__(self, name: str) -> None:
        message = f"What came as the artifact {name!r} is not what the job made: its SHA-256 is another."
        hint = "Download it again; if it stays so, look at the proxies on the way and at the server's files."
        super().__init__("artifact_damaged", message, hint, retryable=True)


class NotGenuine(JobServerError):
    """A webhook that must not be believed: it is incomplete, old, or signed with no known secret."""
