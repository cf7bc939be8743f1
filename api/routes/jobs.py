"""Jobs: submit them, read one, cancel it, do it again."""

import re
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.errors import PayloadTooLarge, TooManyAtOnce, UnsupportedMediaType
from api.headers import header
from api.links import prefix
from api.openapi import errors, job_links, parameter, success
from api.request_id import request_id
from api.strict_json import MOST_NODES, parse
from api.submission import Submission
from api.waiting import until_done, wait_asked_for
from shared.errors import (
    BacklogFull,
    IdempotencyConflict,
    InvalidRequest,
    JobAlreadyFinished,
    JobNotFinished,
    MalformedJson,
    QueueFull,
    QueueUnavailable,
    QuotaReached,
    UnknownFile,
    UnknownJobType,
    WebhooksDisabled,
)
from shared.queue import NewJob
from shared.record import PAYLOAD, JobRecord, JobSummary, StoredRecord
from shared.store.job_store import expired, not_found, spent
from shared.store.model import Submitted, Verdict
from shared.yielding import in_parts

KEY = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")  # printable ASCII, 255 at most
NODES_IN_BATCH = 10 * MOST_NODES

router = APIRouter(tags=["jobs"])
JOB_ID = "019ab1c2-7d10-7c4e-9a55-3f5b8f0e6d21"
JobId = Annotated[str, Path(description="The `job_id` of the record.", examples=[JOB_ID])]
UNAVAILABLE = QueueUnavailable("Redis does not answer (ConnectionError).")
FULL = QueueFull("100000 jobs wait in the queue 'default'.")
QUOTAS = (
    BacklogFull("1000 jobs of this caller wait, of 1000; 1 more are too many."),
    QuotaReached("1048000 bytes of params and results of this caller are kept, of 1048576."),
)
TOO_MANY_WAITS = TooManyAtOnce("1000 waits of this caller run here, of 1000 at once.")
NO_JOB = not_found(JOB_ID), expired(JOB_ID)
BAD_KEY = "The header Idempotency-Key must have 1 to 255 printable ASCII characters."
CONFLICT = IdempotencyConflict("This Idempotency-Key was used before, with another request.")
SPENT = spent(JOB_ID)
NO_WEBHOOKS = WebhooksDisabled("This server sends no webhooks.")
UNKNOWN_FILE = UnknownFile("There is no file 'file_019ab1c27d107c4e9a553f5b8f0e6d21'.")
FAULT = {
    "path": "params.seconds",
    "message": "Input should be less than or equal to 3600",
    "kind": "less_than_equal",
}
BODY_ERRORS = (
    MalformedJson("The body is not valid JSON: unexpected character: line 1 column 2 (char 1)."),
    PayloadTooLarge("The body is larger than 1048576 bytes."),
    UnsupportedMediaType("The body is not declared as JSON."),
    InvalidRequest("The request does not fit the job type.", details=[FAULT]),
    UNKNOWN_FILE,
    UnknownJobType("There is no job type 'ehco'.", hint="The job types are echo, flaky, sleep, word_count."),
)
WAITS = [
    parameter(
        "wait", "query", "Seconds to wait for the job to be done.", type="number", minimum=0, maximum=60
    ),
    parameter("Prefer", "header", "`wait=N`: the same, up to 60; it may be cut.", type="string"),
]
ONCE = parameter(
    "Idempotency-Key",
    "header",
    "Requests of one caller with the same key, within 24 h, make one job; 410 once its record has expired.",
    type="string",
    pattern=f"^{KEY.pattern}$",
    maxLength=255,
)


class JobBatch(BaseModel):
    items: Annotated[
        list[JobRecord | JobSummary],
        Field(
            description="In the order of the submissions. Jobs of an earlier request have no params and no "
            "result once those exceed 4 MiB."
        ),
    ]


@router.post(
    "/jobs",
    status_code=202,
    summary="Submit a job",
    response_model=JobRecord,
    responses={
        200: {
            "model": JobRecord,
            **success(
                "The job was waited for, and is done.",
                "Location",
                "ETag",
                "Preference-Applied",
                sometimes=("Idempotent-Replayed",),
                links=job_links(),
            ),
        },
        202: success(
            "Accepted.",
            "Location",
            "ETag",
            sometimes=("Retry-After", "Preference-Applied", "Idempotent-Replayed"),
            links=job_links(),
        ),
        **errors(*BODY_ERRORS, NO_WEBHOOKS, CONFLICT, SPENT, UNAVAILABLE, FULL, *QUOTAS, TOO_MANY_WAITS),
    },
    openapi_extra={"parameters": [ONCE, *WAITS]},
)
async def submit_job(request: Request) -> Response:
    """The answer comes as soon as the job is safe in Redis; a worker performs it later."""
    _require_json(request)
    key, seconds = _idempotency_key(request), wait_asked_for(request)
    submission = request.state.submissions.validate(parse(await request.body()))
    with request.state.quotas.waiting(
        request.scope, seconds
    ):  # first: a client that is refused submits again
        job = _new_job(request, submission, key)
        submitted = await request.state.queue.submit(job, request.state.quotas.of_jobs(request.scope))
        return await _answer_submitted(request, submitted, seconds)


@router.post(
    "/jobs/batch",
    status_code=202,
    summary="Submit many jobs",
    response_model=JobBatch,
    responses={
        202: success(
            "Accepted, all of them; the records are in the order of the submissions.",
            sometimes=("Idempotent-Replayed",),
            links=job_links("/items/0/job_id"),
        ),
        **errors(*BODY_ERRORS[:-1], CONFLICT, SPENT, UNAVAILABLE, FULL, *QUOTAS),
    },
    openapi_extra={"parameters": [ONCE]},
)
async def submit_batch(request: Request) -> Response:
    """Up to 1,000 jobs, all accepted or none. An `Idempotency-Key` counts for each of them, by its place."""
    _require_json(request)
    key = _idempotency_key(request)
    value = parse(await request.body(), most_nodes=NODES_IN_BATCH)
    submissions = await request.state.submissions.validate_batch(value)
    jobs = [_new_job(request, submission, key and f"{key}/{n}") for n, submission in enumerate(submissions)]
    if meter := request.scope.get("meter"):
        await meter.count(len(jobs))
    submitted = await request.state.queue.submit_all(jobs, request.state.quotas.of_jobs(request.scope))
    items = []
    async for record, _ in in_parts(submitted):
        payload = PAYLOAD if b"params" in record.fields else ()
        items.append(record.to_json(None, prefix(request), payload))
    headers = {"Idempotent-Replayed": "true"} if all(replayed for _, replayed in submitted) else None
    return Response(b'{"items":[%b]}' % b",".join(items), 202, headers, "application/json")


@router.get(
    "/jobs/{job_id}",
    summary="Read a job",
    response_model=JobRecord,
    responses={
        200: success(
            "The record.", "ETag", sometimes=("Retry-After", "Preference-Applied"), links=job_links()
        ),
        304: success("The client has this version.", "ETag"),
        **errors(*NO_JOB, InvalidRequest("The query parameter wait: Must be …"), UNAVAILABLE, TOO_MANY_WAITS),
    },
    openapi_extra={
        "parameters": [*WAITS, parameter("If-None-Match", "header", "An `ETag` seen before.", type="string")]
    },
)
async def get_job(request: Request, job_id: JobId) -> Response:
    """A job that failed is read like any other: its record says so, with status 200."""
    seconds, known = wait_asked_for(request), header(request, b"if-none-match")
    if seconds:
        with request.state.quotas.waiting(request.scope, seconds):
            record = await until_done(request, job_id, seconds)
    elif known and _knows(known, version := await request.state.queue.store.version(job_id)):
        return Response(status_code=304, headers={"ETag": _etag(version)})
    else:
        record = await request.state.queue.get(job_id)
    if known and _knows(known, record.version):
        return Response(status_code=304, headers={"ETag": _etag(record.version)})
    return await _answer(request, record, 200, _applied(seconds))


@router.delete(
    "/jobs/{job_id}",
    summary="Cancel a job",
    response_model=JobRecord,
    responses={
        200: success("The job is cancelled.", "ETag", links=job_links()),
        202: {
            "model": JobRecord,
            **success(
                "The job runs; its worker was asked to stop.", "ETag", "Retry-After", links=job_links()
            ),
        },
        **errors(*NO_JOB, JobAlreadyFinished("The job is completed."), UNAVAILABLE),
    },
)
async def cancel_job(request: Request, job_id: JobId) -> Response:
    """A job that waits is cancelled at once; one that runs, as soon as its handler has ended."""
    verdict, record = await request.state.queue.cancel(job_id)
    if verdict is Verdict.FINISHED:
        raise JobAlreadyFinished(f"The job is {record.state}.")
    return await _answer(request, record, 200 if verdict is Verdict.CANCELLED else 202)


@router.post(
    "/jobs/{job_id}/retry",
    status_code=202,
    summary="Do a finished job again",
    response_model=JobRecord,
    responses={
        202: success(
            "A new job, with the same type, params, labels and webhook.",
            "Location",
            "ETag",
            sometimes=("Retry-After", "Idempotent-Replayed"),
            links=job_links(),
        ),
        **errors(
            *NO_JOB,
            JobNotFinished("The job is running."),
            InvalidRequest(BAD_KEY),
            UnknownJobType("This server has no job type 'flaky' any more."),
            NO_WEBHOOKS,
            UNKNOWN_FILE,
            CONFLICT,
            SPENT,
            UNAVAILABLE,
            FULL,
            *QUOTAS,
        ),
    },
    openapi_extra={"parameters": [ONCE]},
)
async def retry_job(request: Request, job_id: JobId) -> Response:
    """The old job stays as it is; the new one names it in `retry_of`."""
    state, key = request.state, _idempotency_key(request)
    old = await state.queue.finished(job_id)
    if old.type not in state.contracts:
        raise UnknownJobType(
            f"This server has no job type {old.type!r} any more.", hint="GET /job-types lists those it has."
        )
    if old.webhook:
        state.submissions.admit(old.webhook)
    job = NewJob(
        state.contracts[old.type],
        old.fields[b"params"],
        request_id.get(),
        request.scope.get("caller"),
        key,
        labels=orjson.loads(old.fields.get(b"labels", b"{}")),
        retry_of=job_id,
        webhook=old.webhook,
        files=old.fields.get(b"files", b"").decode().split(),
        params_shown=old.fields.get(b"params_shown", b""),
    )
    submitted = await state.queue.submit(job, state.quotas.of_jobs(request.scope))
    return await _answer_submitted(request, submitted, None)


def _new_job(request: Request, submission: Submission, key: str | None) -> NewJob:
    contract = request.state.contracts[submission.type]
    return NewJob(
        contract,
        submission.encoded.stored,
        request_id.get(),
        request.scope.get("caller"),
        key,
        submission.labels,
        submission.run_at,
        submission.delay_seconds,
        submission.start_within_seconds,
        webhook=submission.webhook.url if submission.webhook else None,
        files=submission.files,
        params_shown=submission.encoded.shown,
    )


def _require_json(request: Request) -> None:
    given_type = header(request, b"content-type") or ""
    if given_type == "application/json":
        return
    kind, *parameters = given_type.lower().split(";")
    given = dict(parameter.replace(" ", "").replace('"', "").partition("=")[::2] for parameter in parameters)
    if kind.strip() != "application/json" or given.get("charset", "utf-8") != "utf-8":
        raise UnsupportedMediaType("The body is not declared as JSON.")


def _idempotency_key(request: Request) -> str | None:
    key = header(request, b"idempotency-key")
    if key is None or KEY.fullmatch(key):
        return key
    raise InvalidRequest(BAD_KEY, details=[{"path": "Idempotency-Key", "message": BAD_KEY, "kind": "header"}])


async def _answer_submitted(request: Request, submitted: Submitted, seconds: float | None) -> Response:
    record, replayed = submitted
    headers = {"Location": f"{prefix(request)}/jobs/{record.job_id}", **_applied(seconds)}
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    if seconds:
        record = await until_done(request, record.job_id, seconds)
    return await _answer(request, record, 200 if record.done and seconds is not None else 202, headers)


async def _answer(
    request: Request, record: StoredRecord, status: int, headers: dict[str, str] | None = None
) -> Response:
    headers = {**(headers or {}), "ETag": _etag(record.version)}
    state = request.state
    if record.done:
        state.pacing.note(record)
        return Response(record.to_json(None, prefix(request)), status, headers, "application/json")
    headers["Retry-After"] = str(state.pacing.pause(record.type))
    outlook = await state.queue.outlook(record) if record.place else None
    return Response(record.to_json(outlook, prefix(request)), status, headers, "application/json")


def _etag(version: int) -> str:
    """Weak: a pending job's place in the queue changes without its record."""
    return f'W/"{version}"'


def _knows(tags: str, version: int | None) -> bool:
    """Whether `If-None-Match` names the version of a record; weak or strong, it is the same here."""
    return version is not None and str(version) in re.findall(r'"(\d+)"', tags)


def _applied(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"Preference-Applied": f"wait={seconds:g}"}
