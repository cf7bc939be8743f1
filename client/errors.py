"""Errors of the client, all of them JobServerErrors.

JobServerError            the server refused; or one of these:
├── ServerUnreachable     no connection, or it broke, or there was no response in time (a ConnectionError)
├── NotDoneInTime         the job is not done after the time that was given (a TimeoutError)
├── JobFailed             the job ended as failed or cancelled
├── NotFound              there is no such job, file, artifact or webhook
│   └── JobExpired        there was such a job, and its record is deleted
├── DamagedDownload       the bytes that came are not the artifact
└── NotGenuine            a received webhook that is not the server's, or is old
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from client.models.jobs import Job

if TYPE_CHECKING:
    import httpx  # a receiver of webhooks needs these errors, and no httpx

SHARD_MISSING = "shard_missing"  # kind of the details that name shards of Redis, by a path such as `shards.2`
PASSING_STATUSES = frozenset({429, 502, 503, 504})


class JobServerError(Exception):
    """A failed call; the text says what happened, and what to do next.

    Attributes:
        code: stable, for programs.
        message: the failure, for people.
        hint: the next step.
        retryable: whether the same request may succeed later.
        request_id: finds the server's log lines of this request.
        status: the HTTP status; None without a response.
        details: the faults of the request: `path`, `message` and `kind` of each.
        retry_after: seconds of the header Retry-After.
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

    @property
    def missing_shards(self) -> tuple[int, ...]:
        """Numbers of the shards of Redis that took no part; `message` has the effect on the others."""
        paths = [str(fault.get("path")) for fault in self.details if fault.get("kind") == SHARD_MISSING]
        numbers = [path.rpartition(".")[2] for path in paths]
        return tuple(int(number) for number in numbers if number.isdecimal())

    def __str__(self) -> str:
        # The message names missing shards.
        faults = [fault for fault in self.details if fault.get("kind") != SHARD_MISSING]
        texts = [(fault.get("path") or "body", str(fault.get("message"))) for fault in faults]
        shown = [f"{path}: {text.rstrip('.')}." for path, text in texts if text != self.message]
        source = f"[{self.code}, request {self.request_id}]" if self.request_id else f"[{self.code}]"
        return " ".join(filter(None, [self.message, *shown, self.hint, source]))


class NotFound(JobServerError):
    """Missing job, file, artifact or webhook; `code` is `job_not_found`, `file_not_found` and so on."""


class JobExpired(NotFound):
    """A job whose record and files are deleted, because their time is over."""


class ServerUnreachable(JobServerError, ConnectionError):
    """No response: no connection, a broken one, or silence for longer than the timeout."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        hint = "Check the address, and that the server runs."
        super().__init__("server_unreachable", message, hint, retryable=retryable)


class NotDoneInTime(JobServerError, TimeoutError):
    """A job that is not done after the time to wait; it goes on.

    Attributes:
        job: the job at the last look.
    """

    def __init__(self, job: Job, seconds: float) -> None:
        message = f"The job {job.job_id} is still {job.state} after {seconds:g} s."
        super().__init__("not_done_in_time", message, "It goes on; look again later, or cancel it.")
        self.job = job


class JobFailed(JobServerError):
    """A job that ended without a result: failed, or cancelled.

    Attributes:
        job: the job at its end.
    """

    def __init__(self, job: Job) -> None:
        if job.state == "failed" and job.errors:
            last = job.errors[-1]
            super().__init__(last.code, f"The job {job.job_id} failed: {last.message}", last.hint)
        else:
            hint = "Retry it to run it again, as a new job."
            super().__init__(f"job_{job.state}", f"The job {job.job_id} is {job.state}.", hint)
        self.job = job


class DamagedDownload(JobServerError):
    """A download whose size or SHA-256 differs from the job's record."""

    def __init__(self, name: str) -> None:
        message = f"The download of the artifact {name!r} is damaged: its SHA-256 is not the record's."
        hint = (
            "Download it again; if this happens again, look at the proxies on the way "
            "and at the server's files."
        )
        super().__init__("artifact_damaged", message, hint, retryable=True)


class NotGenuine(JobServerError):
    """A webhook that must not be trusted: incomplete, old, or signed with no known secret."""


KINDS: dict[str, type[JobServerError]] = {
    "artifact_not_found": NotFound,
    "file_not_found": NotFound,
    "job_expired": JobExpired,
    "job_not_found": NotFound,
    "webhook_not_found": NotFound,
}


def refusal(response: "httpx.Response") -> JobServerError:
    """Error of a response without success: the server's own, or a proxy's."""
    envelope = _envelope(response)
    code = envelope.get("code", f"http_{response.status_code}")
    return KINDS.get(code, JobServerError)(
        code,
        envelope.get("message", f"The response is {response.status_code}, and not a job server's."),
        envelope.get("hint", "Check the address, and any proxy on the way."),
        retryable=envelope.get("retryable", response.status_code in PASSING_STATUSES),
        request_id=envelope.get("request_id"),
        status=response.status_code,
        details=envelope.get("details", ()),
        retry_after=_retry_after(response),
    )


def _envelope(response: "httpx.Response") -> Mapping[str, Any]:
    try:
        body = response.json()
    except (RecursionError, ValueError):
        return {}
    return body if isinstance(body, dict) and {"code", "message", "retryable"} <= body.keys() else {}


def _retry_after(response: "httpx.Response") -> float | None:
    value = response.headers.get("Retry-After", "").strip()
    return float(value) if value.isdecimal() else None
