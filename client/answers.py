"""What an HTTP answer says: a job, a page of jobs, or an error."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from client.errors import JobExpired, JobServerError, NotFound
from client.job import Job
from client.records import LogLine, Record

T = TypeVar("T")

KINDS: dict[str, type[JobServerError]] = {
    "artifact_not_found": NotFound,
    "file_not_found": NotFound,
    "job_expired": JobExpired,
    "job_not_found": NotFound,
    "webhook_not_found": NotFound,
}
PASSING = frozenset({429, 502, 503, 504})


def read(body: str | bytes, kind: Callable[[Record], T]) -> T:
    """What the body tells of, a `Job.from_record` or the like.

    Raises:
        JobServerError: `unreadable_answer`, it is nothing of that kind.
    """
    with _understanding():
        return kind(json.loads(body))


def read_job(body: str | bytes) -> Job:
    """The job whose record this is.

    Raises:
        JobServerError: `unreadable_answer`, it is none.
    """
    return read(body, Job.from_record)


def read_log(body: bytes) -> list[LogLine]:
    """The lines of a log.

    Raises:
        JobServerError: `unreadable_answer`, it is none.
    """
    with _understanding():
        return [LogLine.from_record(line) for line in json.loads(body)["items"]]


def read_jobs(body: str | bytes) -> tuple[list[Job], str | None]:
    """The jobs of a page, and the cursor of the next page if there is one.

    Raises:
        JobServerError: `unreadable_answer`, it is no page.
    """
    with _understanding():
        page = json.loads(body)
        return [Job.from_record(record) for record in page["items"]], page.get("next_cursor")


def refusal(answer: httpx.Response) -> JobServerError:
    """The error that an answer without success tells of: the server's own, or that of something between."""
    envelope = _envelope(answer)
    code = envelope.get("code", f"http_{answer.status_code}")
    return KINDS.get(code, JobServerError)(
        code,
        envelope.get("message", f"The answer is {answer.status_code}, and not a job server's."),
        envelope.get("hint", "Check the address, and any proxy on the way."),
        retryable=envelope.get("retryable", answer.status_code in PASSING),
        request_id=envelope.get("request_id"),
        status=answer.status_code,
        details=envelope.get("details", ()),
        retry_after=_retry_after(answer),
    )


@contextmanager
def _understanding() -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise JobServerError(
            "unreadable_answer",
            f"The answer is not a job server's ({error!r}).",
            "Check the address, and that client and server are of the same version.",
        ) from error


def _envelope(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        body = answer.json()
    except (RecursionError, ValueError):
        return {}
    return body if isinstance(body, dict) and {"code", "message", "retryable"} <= body.keys() else {}


def _retry_after(answer: httpx.Response) -> float | None:
    value = answer.headers.get("Retry-After", "").strip()
    return float(value) if value.isdecimal() else None
