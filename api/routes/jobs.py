"""Jobs: submit one, read it, cancel it."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from api.errors import PayloadTooLarge, UnsupportedMediaType
from api.openapi import errors, success
from api.request_id import request_id
from api.strict_json import parse
from shared.errors import (
    InvalidRequest,
    JobAlreadyFinished,
    MalformedJson,
    QueueFull,
    QueueUnavailable,
    UnknownJobType,
)
from shared.queue import NewJob
from shared.record import JobRecord, StoredRecord
from shared.store.job_store import Verdict, not_found

POLL_SECONDS = "1"

router = APIRouter(tags=["jobs"])
JobId = Annotated[
    str, Path(description="The `job_id` of the record.", examples=["019ab1c2-7d10-7c4e-9a55-3f5b8f0e6d21"])
]
UNAVAILABLE = QueueUnavailable("Redis does not answer (ConnectionError).")
NOT_FOUND = not_found("019ab1c2-7d10-7c4e-9a55-3f5b8f0e6d21")
FAULT = {
    "path": "params.seconds",
    "message": "Input should be less than or equal to 3600",
    "kind": "less_than_equal",
}


@router.post(
    "/jobs",
    status_code=202,
    summary="Submit a job",
    response_model=JobRecord,
    responses={
        202: success(
            "Accepted; the job is pending.", Location="The job.", Retry_After="Seconds until a look pays."
        ),
        **errors(
            MalformedJson("The body is not valid JSON: unexpected character: line 1 column 2 (char 1)."),
            PayloadTooLarge("The body is larger than 1048576 bytes."),
            UnsupportedMediaType("The body is not declared as JSON."),
            InvalidRequest("The request does not fit the job type.", details=[FAULT]),
            UnknownJobType(
                "There is no job type 'ehco'.", hint="The job types are echo, flaky, sleep, word_count."
            ),
            UNAVAILABLE,
            QueueFull("100000 jobs wait in the queue 'default'."),
        ),
    },
)
async def submit_job(request: Request) -> Response:
    """The answer comes as soon as the job is safe in Redis; a worker performs it later."""
    _require_json(request)
    state = request.state
    submission = state.submissions.validate(parse(await request.body()))
    params = submission.params.model_dump_json().encode()
    job = NewJob(state.contracts[submission.type], params, request_id.get())
    record = await state.queue.submit(job)
    location = f"{request.scope['path'].rstrip('/')}/{record.job_id}"
    return _answer(record, 202, {"Location": location})


@router.get(
    "/jobs/{job_id}",
    summary="Read a job",
    response_model=JobRecord,
    responses={
        200: success(
            "The record.", Retry_After="While the job is not done: seconds until another look pays."
        ),
        **errors(NOT_FOUND, UNAVAILABLE),
    },
)
async def get_job(request: Request, job_id: JobId) -> Response:
    """A job that failed is read like any other: its record says so, with status 200."""
    return _answer(await request.state.queue.get(job_id), 200)


@router.delete(
    "/jobs/{job_id}",
    summary="Cancel a job",
    response_model=JobRecord,
    responses={
        200: success("The job is cancelled."),
        202: {"model": JobRecord, **success("The job runs; its worker was asked to stop.")},
        **errors(NOT_FOUND, JobAlreadyFinished("The job is completed."), UNAVAILABLE),
    },
)
async def cancel_job(request: Request, job_id: JobId) -> Response:
    """A job that waits is cancelled at once; one that runs, as soon as its handler has ended."""
    verdict, record = await request.state.queue.cancel(job_id)
    if verdict is Verdict.FINISHED:
        raise JobAlreadyFinished(f"The job is {record.state}.")
    return _answer(record, 200 if verdict is Verdict.CANCELLED else 202)


def _require_json(request: Request) -> None:
    kind, *parameters = request.headers.get("content-type", "").lower().split(";")
    given = dict(parameter.replace(" ", "").replace('"', "").partition("=")[::2] for parameter in parameters)
    if kind.strip() != "application/json" or given.get("charset", "utf-8") != "utf-8":
        raise UnsupportedMediaType("The body is not declared as JSON.")


def _answer(record: StoredRecord, status: int, headers: dict[str, str] | None = None) -> Response:
    if not record.done:
        headers = {**(headers or {}), "Retry-After": POLL_SECONDS}
    return Response(record.to_json(), status, headers, "application/json")
