"""New jobs of requests, and what is required of such requests."""

from starlette.requests import Request

from api.errors import UnsupportedMediaType
from api.ownership import owner_used
from api.request import elements, header, name_and_value, request_id
from api.state import state_of
from api.submission import Submission
from shared.store.submission import NewJob
from shared.traces.context import trace_context


def new_job(request: Request, submission: Submission, key: str | None) -> NewJob:
    """The job of a submission; `key` is its idempotency key."""
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
        trace=trace_context(request.scope["headers"]),
    )


async def require_files(request: Request, *jobs: NewJob) -> None:
    """Require that the request may use all files of the jobs. Raises UnknownFile."""
    owner = owner_used(request)
    files = [file_id for job in jobs for file_id in job.files]
    if owner is not None and files:
        await state_of(request).file_records.require_owned(files, owner)


def require_json(request: Request) -> None:
    """Require that the body is declared as JSON. Raises UnsupportedMediaType."""
    given_type = header(request, b"content-type") or ""
    if given_type == "application/json":
        return
    kind, *rest = elements(given_type.lower(), ";") or [""]
    charset = dict(name_and_value(element) for element in rest).get("charset", "utf-8")
    if kind != "application/json" or charset not in ("utf-8", "utf8"):
        raise UnsupportedMediaType("The body is not declared as JSON.")
