"""The error tree.

JobServerError
├── InvalidRequest            the caller sent something that can't be accepted
│   ├── MalformedJson
│   ├── UnknownJobType
│   ├── UnknownFile
│   ├── IdempotencyConflict
│   └── WebhooksDisabled
├── JobNotFound
│   └── JobExpired            there was one; its record is kept no longer
├── WebhookNotFound           the job has no webhook
├── JobAlreadyFinished
├── JobNotFinished
├── FileNotFound
├── FileInUse
├── QueueFull
├── BacklogFull               too many waiting jobs of one caller
├── QuotaReached              too much is kept for one caller
├── QueueUnavailable          Redis can't be reached
├── StorageUnavailable        the file store can't be reached
│   └── StorageFull           the file store has no room
└── JobFailure                an attempt at a job did not succeed; written into its record
    ├── RetryableError        raise it in a handler: the job is tried again, after a backoff
    └── FinalError            raise it in a handler: the job fails at once

`shared` knows no HTTP: `api/errors.py` gives each class its status, `api/error_envelope.py` has their form.
No library is imported here: the heartbeat process needs these errors, and has no room for pydantic.
"""

from math import isnan
from typing import Any


class JobServerError(Exception):
    """The root of the tree: an error with a code, a message, a hint, and whether a retry may help.

    Attributes:
        code: stable name of the error, for programs.
        example: a message of such an error, for the API's reference.
        hint: the next step of the person who reads the error.
        retryable: whether the same request may succeed later.
    """

    code = "internal_error"
    example = "The server failed to handle this request."
    hint = "Try again later; if it happens again, give the request id to the operator."
    retryable = False
    retry_after: float | None = None
    """Seconds after which the same request may succeed, if that is known."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        details: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint if hint is not None else type(self).hint
        self.details = details or []


class InvalidRequest(JobServerError):
    code = "invalid_request"
    example = "The request is not valid."
    hint = "Correct what `details` names and send the request again."


class MalformedJson(InvalidRequest):
    code = "malformed_json"
    example = "The body is not valid JSON: unexpected character: line 1 column 2 (char 1)."
    hint = "Send one JSON object (RFC 8259) in UTF-8."


class UnknownJobType(InvalidRequest):
    code = "unknown_job_type"
    example = "There is no job type 'ehco'."
    hint = "Name a job type of this server; GET /job-types lists them."


class UnknownFile(InvalidRequest):
    code = "unknown_file"
    example = "There is no file 'file_019ab1c27d107c4e9a553f5b8f0e6d21'."
    hint = "Upload the file with POST /files, and name the `file_id` that it answers with."


class IdempotencyConflict(InvalidRequest):
    code = "idempotency_conflict"
    example = "This Idempotency-Key was used before, with another request."
    hint = "Use a new key for a new request, or send exactly what was sent before."


class WebhooksDisabled(InvalidRequest):
    code = "webhooks_disabled"
    example = "This server sends no webhooks."
    hint = (
        "Leave `webhook` out, or let the operator set WEBHOOK_SECRETS; python -m shared.webhooks makes one."
    )


class JobNotFound(JobServerError):
    code = "job_not_found"
    example = "No job has the id '019ab1c2-7d10-7c4e-9a55-3f5b8f0e6d21'."
    hint = "Check the id; a finished job is kept for a limited time (RETAIN_COMPLETED, RETAIN_FAILED)."


class JobExpired(JobNotFound):
    code = "job_expired"
    example = "The job '019ab1c2-7d10-7c4e-9a55-3f5b8f0e6d21' has ended, and its record is kept no longer."
    hint = "Submit the job again if it is needed; RETAIN_COMPLETED and RETAIN_FAILED set how long it is kept."


class WebhookNotFound(JobServerError):
    code = "webhook_not_found"
    example = "The job has no webhook."
    hint = "Name one when you submit a job: its field `webhook`."


class JobAlreadyFinished(JobServerError):
    code = "job_already_finished"
    example = "The job is completed."
    hint = "A finished job never changes. Read it with GET."


class JobNotFinished(JobServerError):
    code = "job_not_finished"
    example = "The job is running."
    hint = "Wait until `done` is true, or cancel the job first."


class FileNotFound(JobServerError):
    code = "file_not_found"
    example = "No file has the id 'file_019ab1c27d107c4e9a553f5b8f0e6d21'."
    hint = (
        "Check the id; a file is kept for a limited time (RETAIN_FILES), and while a job's record names it."
    )


class FileInUse(JobServerError):
    code = "file_in_use"
    example = "The job 019ab1c2-… needs the file."
    hint = "Wait until the job is done, or cancel it first."


class QueueFull(JobServerError):
    code = "queue_full"
    example = "The queue 'default' is full; waiting jobs: 100000."
    hint = "Wait for the time in Retry-After and send the request again."
    retryable = True
    retry_after = 5  # unless shared/store/throughput.py estimates the time


class BacklogFull(JobServerError):
    code = "backlog_full"
    example = "Waiting jobs of this caller: 1000 of 1000; no room for 1 more."
    hint = "Wait for the time in Retry-After and send the request again, or cancel jobs that still wait."
    retryable = True
    retry_after = 5


class QuotaReached(JobServerError):
    code = "quota_reached"
    example = "Bytes of params and results kept for this caller: 1048000 of 1048576; no room for 900 more."
    hint = (
        "Delete files that are not needed any more, or wait until some expire; the operator sets the quota."
    )
    retryable = True
    retry_after = 60


class QueueUnavailable(JobServerError):
    code = "queue_unavailable"
    example = "Redis does not answer (ConnectionError)."
    hint = "Wait for the time in Retry-After and send the request again."
    retryable = True
    retry_after = 1


class StorageUnavailable(JobServerError):
    code = "storage_unavailable"
    example = "The file store does not answer (GenericError)."
    hint = "Wait for the time in Retry-After and send the request again."
    retryable = True
    retry_after = 5


class StorageFull(StorageUnavailable):
    code = "storage_full"
    example = "The file store has no room for the file."
    hint = (
        "Delete files that nobody needs, or wait until the operator has made room; then send the file again."
    )
    retry_after = 60


class JobFailure(JobServerError):
    """An attempt at a job did not succeed.

    Args:
        message: what went wrong, for the person who reads the record.
        code: stable name of the failure, for programs; the class's own unless given.
        hint: what that person may do next.
        retryable: whether another attempt may succeed; the class's own unless given.
        retry_after: seconds until the next attempt, in place of the job type's backoff.

    Raises:
        TypeError: an argument is of another type; a record could not show it.
    """

    code = "handler_error"
    hint = "Read the worker's log lines of this job."
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code or type(self).code
        self.retryable = type(self).retryable if retryable is None else retryable
        self.retry_after = retry_after
        _require_text(self, "message", "code", "hint")
        if not isinstance(self.retryable, bool):
            raise TypeError(f"retryable must be true or false, not {self.retryable!r:.50}.")
        if retry_after is not None and (
            isinstance(retry_after, bool) or not isinstance(retry_after, int | float) or isnan(retry_after)
        ):
            raise TypeError(f"retry_after must be a number of seconds, not {retry_after!r:.50}.")


def _require_text(failure: JobFailure, *names: str) -> None:
    for name in names:
        value = getattr(failure, name)
        if not isinstance(value, str):
            raise TypeError(
                f"{name} must be text, not {type(value).__name__}: write {name}={str(value)[:50]!r}."
            )


class RetryableError(JobFailure):
    """An error of one attempt; the next attempt may succeed."""


class FinalError(JobFailure):
    """The job can't succeed, however often it is tried."""

    hint = "Change the job's params and submit it as a new job."
    retryable = False
