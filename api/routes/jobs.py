"""Jobs: submit, read, cancel, retry."""

from contextlib import suppress
from typing import Annotated

from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.conditions import OTHER_VERSION, entity_tags, etag_matches, not_modified, require_version, versions
from api.errors import PreconditionFailed
from api.idempotency import idempotency_key
from api.job_answers import answer, answer_submitted, preference_applied, render
from api.middleware.direct_routes import DirectRouter
from api.new_jobs import new_job, require_files, require_json
from api.ownership import owner_changed, owner_read, owner_used
from api.repetition import repetition
from api.state import state_of
from api.strict_json import MAX_VALUES, parse
from api.waiting import requested_wait, until_done
from shared.errors import JobAlreadyFinished, StorageUnavailable
from shared.files import ARTIFACTS
from shared.record import JobRecord, JobSummary
from shared.store.cancel_results import CancelResult
from shared.yielding import in_parts

MAX_VALUES_IN_BATCH = 10 * MAX_VALUES

router = DirectRouter(tags=["jobs"])


class JobBatch(BaseModel):
    items: Annotated[
        list[JobRecord | JobSummary],
        Field(
            description="In the order of the submissions. Jobs of an earlier request have no params and no "
            "result once those exceed 4 MiB."
        ),
    ]


@router.post("/jobs", status_code=202, response_model=JobRecord)
async def submit_job(request: Request) -> Response:
    """Answers as soon as the job is safe in Redis; a worker performs it later."""
    require_json(request)
    key, seconds = idempotency_key(request), requested_wait(request)
    state = state_of(request)
    submission = state.submissions.validate(parse(await request.body()))
    job = new_job(request, submission, key)
    await require_files(request, job)
    with state.quotas.waiting(request.scope, seconds):  # first: a client that is refused submits again
        submitted = await state.queue.submit(job, state.quotas.of_jobs(request.scope))
        return await answer_submitted(request, submitted, seconds)


@router.post("/jobs/batch", status_code=202, response_model=JobBatch)
async def submit_batch(request: Request) -> Response:
    """Up to 1,000 jobs, all accepted or none. An `Idempotency-Key` counts for each of them, by its place."""
    require_json(request)
    key = idempotency_key(request)
    value = parse(await request.body(), max_values=MAX_VALUES_IN_BATCH)
    state = state_of(request)
    submissions = await state.submissions.validate_batch(value)
    numbered = in_parts(enumerate(submissions))
    jobs = [new_job(request, submission, key and f"{key}/{n}") async for n, submission in numbered]
    await require_files(request, *jobs)
    if meter := request.scope.get("meter"):
        await meter.count(len(jobs))
    submitted = await state.queue.submit_all(jobs, state.quotas.of_jobs(request.scope))
    items = [render(request, record) async for record, _ in in_parts(submitted)]
    headers = {"Idempotent-Replayed": "true"} if all(replayed for _, replayed in submitted) else None
    return Response(b'{"items":[%b]}' % b",".join(items), 202, headers, "application/json")


@router.get("/jobs/{job_id}", response_model=JobRecord)
async def get_job(request: Request, job_id: str) -> Response:
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
        return not_modified(version)
    else:
        record = await state.queue.get(job_id, owner=owner)
    require_version(wanted, record.version)
    if known and etag_matches(known, record.version):
        return not_modified(record.version)
    return await answer(request, record, 200, preference_applied(seconds))


@router.delete("/jobs/{job_id}", response_model=JobRecord)
async def cancel_job(request: Request, job_id: str) -> Response:
    """A pending job is cancelled at once, a running job as soon as its handler has ended."""
    wanted = versions(entity_tags(request, b"if-match"))
    result, record = await state_of(request).queue.cancel(job_id, wanted, owner=owner_changed(request))
    if result is CancelResult.CHANGED:
        raise PreconditionFailed(OTHER_VERSION)
    if result is CancelResult.FINISHED:
        raise JobAlreadyFinished(f"The job is {record.state}.")
    return await answer(request, record, 200 if result is CancelResult.CANCELLED else 202)


@router.post("/jobs/{job_id}/retry", status_code=202, response_model=JobRecord)
async def retry_job(request: Request, job_id: str) -> Response:
    """The old job stays as it is; the new one names it in `retry_of`."""
    state, key = state_of(request), idempotency_key(request)
    old = await state.queue.finished(job_id, owner=owner_used(request))
    require_version(entity_tags(request, b"if-match"), old.version)
    job = repetition(request, old, key, caller=request.scope.get("caller"))
    await require_files(request, job)
    submitted = await state.queue.submit(job, state.quotas.of_jobs(request.scope))
    return await answer_submitted(request, submitted)


@router.delete("/jobs/{job_id}/record", status_code=204, response_class=Response)
async def forget_job(request: Request, job_id: str) -> Response:
    """A finished job is forgotten: record, log, output, artifacts and deliveries. Later requests get 410."""
    state = state_of(request)
    await state.queue.forget(job_id)
    with suppress(StorageUnavailable):  # a worker's sweep removes them then
        await state.files.delete(f"{ARTIFACTS}/{job_id}")
    return Response(status_code=204)
