"""Jobs: submit them, read one, cancel it, do it again."""

import re
from typing import Annotated

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.conditions import OTHER_VERSION, entity_tags, etag_matches, require_version, unchanged, versions
from api.errors import PayloadTooLarge, PreconditionFailed, TooManyAtOnce, UnsupportedMediaType
from api.job_answers import answer, answer_submitted, applied, render
from api.ownership import may_read, owner_changed, owner_read, owner_used
from api.reference.openapi import JOB_ID, JobId, errors, job_links, parameter, success
from api.request import elements, header, name_and_value, request_id
from api.state import state_of
from api.strict_json import MOST_NODES, parse
from api.submission import Submission
from api.waiting import requested_wait, until_done
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
from shared.record import JobRecord, JobSummary
from shared.store.job_errors import expired, key_expired, not_found
from shared.store.job_queue import CancelResult
from shared.store.submission import NewJob
from shared.yielding import in_parts

KEY = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")  # printable ASCII, 255 at most
NODES_IN_BATCH = 10 * MOST_NODES

router = APIRouter(tags=["jobs"])
UNAVAILABLE = QueueUnavailable("Redis does not answer (ConnectionError).")
FULL = QueueFull("100000 jobs wait in the queue 'default'.")
QUOTAS = (
    BacklogFull("1000 jobs of this caller wait, of 1000: no room for 1 more."),
    QuotaReached(
        "1048000 bytes of params and results of this caller are kept, of 1048576: no room for 900 more."
    ),
)
TOO_MANY_WAITS = TooManyAtOnce("1000 waits of this caller run here, of 1000 at once.")
NO_JOB = not_found(JOB_ID), expired(JOB_ID)
BAD_KEY = "The header Idempotency-Key must have 1 to 255 printable ASCII characters."
CHANGED = PreconditionFailed(OTHER_VERSION)
CONFLICT = IdempotencyConflict("This Idempotency-Key was used before, with another request.")
SPENT = key_expired(JOB_ID)
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
IF_MATCH = parameter(
    "If-Match",
    "header",
    "Only if the record has the version of one of these `ETag`s; `W/` makes no difference.",
    type="string",
)
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
    key, seconds = _idempotency_key(request), requested_wait(request)
    state = state_of(request)
    submission = state.submissions.validate(parse(await request.body()))
    job = _new_job(request, submission, key)
    await _require_files(request, job)
    with state.quotas.waiting(request.scope, seconds):  # first: a client that is refused submits again
        submitted = await state.queue.submit(job, state.quotas.of_jobs(request.scope))
        return await answer_submitted(request, submitted, seconds)


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
    state = state_of(request)
    submissions = await state.submissions.validate_batch(value)
    jobs = [_new_job(request, submission, key and f"{key}/{n}") for n, submission in enumerate(submissions)]
    await _require_files(request, *jobs)
    if meter := request.scope.get("meter"):
        await meter.count(len(jobs))
    submitted = await state.queue.submit_all(jobs, state.quotas.of_jobs(request.scope))
    items = [render(request, record) async for record, _ in in_parts(submitted)]
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
        **errors(
            *NO_JOB,
            CHANGED,
            InvalidRequest("The query parameter wait: Must be …"),
            UNAVAILABLE,
            TOO_MANY_WAITS,
        ),
    },
    openapi_extra={
        "parameters": [
            *WAITS,
            parameter("If-None-Match", "header", "`ETag`s seen before, or `*`.", type="string"),
            IF_MATCH,
        ]
    },
)
async def get_job(request: Request, job_id: JobId) -> Response:
    """A job that failed is read like any other: its record says so, with status 200."""
    seconds, known = requested_wait(request), entity_tags(request, b"if-none-match")
    wanted, owner = entity_tags(request, b"if-match"), owner_read(request)
    state = state_of(request)
    if seconds:
        with state.quotas.waiting(request.scope, seconds):
            record = await until_done(request, job_id, seconds, owner=owner)
    elif (
        known and (version := await state.queue.version(job_id, owner=owner)) and etag_matches(known, version)
    ):
        require_version(wanted, version)
        return unchanged(version)
    else:
        record = await state.queue.get(job_id, owner=owner)
    require_version(wanted, record.version)
    if known and etag_matches(known, record.version):
        return unchanged(record.version)
    return await answer(request, record, 200, applied(seconds))


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
        **errors(
            *NO_JOB,
            JobAlreadyFinished("The job is completed."),
            CHANGED,
            UNAVAILABLE,
        ),
    },
    openapi_extra={"parameters": [IF_MATCH]},
)
async def cancel_job(request: Request, job_id: JobId) -> Response:
    """A job that waits is cancelled at once; one that runs, as soon as its handler has ended."""
    wanted = versions(entity_tags(request, b"if-match"))
    result, record = await state_of(request).queue.cancel(job_id, wanted, owner=owner_changed(request))
    if result is CancelResult.CHANGED:
        raise PreconditionFailed(OTHER_VERSION)
    if result is CancelResult.FINISHED:
        raise JobAlreadyFinished(f"The job is {record.state}.")
    return await answer(request, record, 200 if result is CancelResult.CANCELLED else 202)


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
            CHANGED,
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
    openapi_extra={"parameters": [ONCE, IF_MATCH]},
)
async def retry_job(request: Request, job_id: JobId) -> Response:
    """The old job stays as it is; the new one names it in `retry_of`."""
    state, key = state_of(request), _idempotency_key(request)
    old = await state.queue.finished(job_id, owner=owner_used(request))
    require_version(entity_tags(request, b"if-match"), old.version)
    if old.type not in state.job_types:
        shown = repr(old.type) if may_read(request, old.caller) else "of that job"
        raise UnknownJobType(
            f"This server has no job type {shown} any more.", hint="GET /job-types lists those it has."
        )
    if old.webhook:
        state.submissions.admit(old.webhook)
    job = NewJob(
        state.job_types[old.type],
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
    await _require_files(request, job)
    submitted = await state.queue.submit(job, state.quotas.of_jobs(request.scope))
    return await answer_submitted(request, submitted)


def _new_job(request: Request, submission: Submission, key: str | None) -> NewJob:
    job_type = state_of(request).job_types[submission.type]
    return NewJob(
        job_type,
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


async def _require_files(request: Request, *jobs: NewJob) -> None:
    """Require that the request may use all files of the jobs. Raises UnknownFile."""
    owner = owner_used(request)
    files = [file_id for job in jobs for file_id in job.files]
    if owner is not None and files:
        await state_of(request).file_records.require_owned(files, owner)


def _require_json(request: Request) -> None:
    given_type = header(request, b"content-type") or ""
    if given_type == "application/json":
        return
    kind, *rest = elements(given_type.lower(), ";") or [""]
    charset = dict(name_and_value(element) for element in rest).get("charset", "utf-8")
    if kind != "application/json" or charset not in ("utf-8", "utf8"):
        raise UnsupportedMediaType("The body is not declared as JSON.")


def _idempotency_key(request: Request) -> str | None:
    key = header(request, b"idempotency-key")
    if key is None or KEY.fullmatch(key):
        return key
    raise InvalidRequest(BAD_KEY, details=[{"path": "Idempotency-Key", "message": BAD_KEY, "kind": "header"}])
