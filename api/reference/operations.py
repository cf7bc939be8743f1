"""Operations of the OpenAPI document, by the name of their route: summary, parameters, answers, errors.

The framework adds what the route itself declares, with its docstring as the description. `rules.py` adds what
follows by rule.
"""

from collections.abc import Sequence

from api.errors import (
    ArtifactNotFound,
    EmbeddingsFailed,
    EmbeddingsLate,
    Forbidden,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    RangeNotSatisfiable,
    RequestTimeout,
    ServerBusy,
    TooManyAtOnce,
    UnsupportedMediaType,
)
from api.idempotency import BAD_KEY
from api.reference.event_stream import ACTIVITY, EVENT_STREAM
from api.reference.links import JOB_LINKS_OF_FIRST, NEXT_PAGE
from api.reference.operation import Answer, Error, Operation
from api.reference.parameters import (
    CONTENT_DISPOSITION,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_MATCH_ARTIFACT,
    IF_NONE_MATCH,
    IF_RANGE,
    LAST_EVENT_ID,
    PREFER,
    RANGE,
    WAIT,
)
from api.routes.bulk import BulkRequest
from api.routes.embeddings import EmbeddingsRequest
from api.routes.queues import PauseRequest
from api.routes.webhooks import no_host, no_key
from api.upload import FORM
from job_types.embed.contract import MODEL
from shared.errors import (
    BacklogFull,
    FileInUse,
    InvalidRequest,
    JobAlreadyFinished,
    JobNotFinished,
    MalformedJson,
    QueueFull,
    QuotaReached,
    StorageFull,
    StorageUnavailable,
    UnknownFile,
    UnknownJobType,
    WebhookNotFound,
    WebhooksDisabled,
)

BINARY = {"type": "string", "format": "binary"}
# Generators know no `*/*`, and leave the answer out if nothing else is there.
ANY_FILE = {"application/octet-stream": {"schema": BINARY}, "*/*": {"schema": BINARY}}
FILE_BODY = {  # not required: no body is an empty file
    "content": {
        "application/octet-stream": {"schema": BINARY},
        FORM: {
            "schema": {
                "type": "object",
                "properties": {"file": BINARY},
                "required": ["file"],
                "additionalProperties": False,
            }
        },
    },
}
EMBEDDINGS_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": EmbeddingsRequest.model_json_schema(),
            "examples": {"texts": {"value": {"model": MODEL, "input": ["A cat sits on the mat."]}}},
        }
    },
}
PAUSE_BODY = {
    "content": {
        "application/json": {
            "schema": PauseRequest.model_json_schema(),
            "examples": {"reason": {"value": {"reason": "The GPU driver is being updated."}}},
        }
    }
}
BULK_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": f"#/components/schemas/{BulkRequest.__name__}"},
            "examples": {
                "count": {"value": {"filter": {"labels": {"team": "vision"}}, "dry_run": True}},
            },
        }
    },
}
NO_REDIS = {"status": "fail", "checks": {"redis": "fail: Redis does not answer.", "workers": "unknown"}}
FAULT = {
    "path": "params.seconds",
    "message": "Input should be less than or equal to 3600",
    "kind": "less_than_equal",
}
BODY_ERRORS: Sequence[Error] = (
    MalformedJson,
    PayloadTooLarge,
    UnsupportedMediaType,
    InvalidRequest("The request does not fit the job type.", details=[FAULT]),
    UnknownFile,
)
BULK_ERRORS: Sequence[Error] = (
    MalformedJson,
    PayloadTooLarge,
    UnsupportedMediaType,
    InvalidRequest("The cursor is not one that this list gave."),
)
BAD_QUEUE = InvalidRequest("The path parameter name: String should match pattern …")
ALL_CALLERS = Forbidden("GET /v1/queues shows the work of all callers: it needs the scope 'read'.")
NO_ROOM: Sequence[Error] = (QueueFull, BacklogFull, QuotaReached)
UNFINISHED = ("Retry-After",)

OPERATIONS: dict[str, Operation] = {
    "submit_job": Operation(
        "Submit a job",
        parameters=(IDEMPOTENCY_KEY, WAIT, PREFER),
        answers={
            200: Answer(
                "The job was waited for, and is done.", always=("Preference-Applied",), schema="JobRecord"
            ),
            202: Answer("Accepted.", sometimes=UNFINISHED),
        },
        errors=(*BODY_ERRORS, UnknownJobType, WebhooksDisabled, *NO_ROOM),
    ),
    "submit_batch": Operation(
        "Submit many jobs",
        parameters=(IDEMPOTENCY_KEY,),
        answers={
            202: Answer(
                "Accepted, all of them; the records are in the order of the submissions.",
                links=JOB_LINKS_OF_FIRST,
            )
        },
        errors=(*BODY_ERRORS, *NO_ROOM),
    ),
    "get_job": Operation(
        "Read a job",
        parameters=(WAIT, PREFER, IF_NONE_MATCH, IF_MATCH),
        answers={
            200: Answer("The record.", sometimes=UNFINISHED),
            304: Answer("The client has this version.", always=("ETag",)),
        },
        errors=(InvalidRequest("The query parameter wait: Must be …"),),
    ),
    "cancel_job": Operation(
        "Cancel a job",
        parameters=(IF_MATCH,),
        answers={
            200: Answer("The job is cancelled."),
            202: Answer("The job runs; its worker was asked to stop.", always=UNFINISHED, schema="JobRecord"),
        },
        errors=(JobAlreadyFinished,),
    ),
    "retry_job": Operation(
        "Retry a finished job",
        parameters=(IDEMPOTENCY_KEY, IF_MATCH),
        answers={
            202: Answer("A new job, with the same type, params, labels and webhook.", sometimes=UNFINISHED)
        },
        errors=(
            JobNotFinished,
            InvalidRequest(BAD_KEY),
            UnknownJobType("This server has no job type 'flaky' any more."),
            WebhooksDisabled,
            UnknownFile,
            *NO_ROOM,
        ),
    ),
    "list_jobs": Operation(
        "List jobs",
        answers={200: Answer("A page.", links={**JOB_LINKS_OF_FIRST, "NextPage": NEXT_PAGE})},
        errors=(InvalidRequest("The cursor is not one that this list gave."), ServerBusy),
    ),
    "cancel_jobs": Operation(
        "Cancel many jobs", body=BULK_BODY, answers={200: Answer("The effect.")}, errors=BULK_ERRORS
    ),
    "retry_jobs": Operation(
        "Retry many finished jobs",
        parameters=(IDEMPOTENCY_KEY,),
        body=BULK_BODY,
        answers={200: Answer("The effect.")},
        errors=BULK_ERRORS,
    ),
    "forget_job": Operation(
        "Forget a finished job", answers={204: Answer("The job is forgotten.")}, errors=(JobNotFinished,)
    ),
    "follow_job": Operation(
        "Follow a job",
        parameters=(LAST_EVENT_ID,),
        answers={
            200: Answer(
                "The record and the log so far, then every change; ends after the finished job.",
                content=EVENT_STREAM,
            ),
            204: Answer("The client has seen the end of the job already, and need not reconnect."),
        },
        errors=(
            InvalidRequest("The header Last-Event-ID was sent more than once."),
            TooManyAtOnce("Streams of this caller that run here: 1000 of 1000."),
        ),
    ),
    "create_embeddings": Operation(
        "Embed texts",
        body=EMBEDDINGS_BODY,
        answers={200: Answer("The vectors.")},
        errors=(
            MalformedJson,
            PayloadTooLarge,
            UnsupportedMediaType,
            InvalidRequest,
            UnknownJobType("This server has no job type 'embed'."),
            Forbidden("POST /embeddings needs a scope to read the caller's own jobs, such as 'read:own'."),
            TooManyAtOnce,
            EmbeddingsFailed,
            EmbeddingsLate,
            *NO_ROOM,
        ),
    ),
    "read_log": Operation("Read a job's log", errors=(InvalidRequest,)),
    "read_output": Operation("Read a job's output", errors=(InvalidRequest,)),
    "issue_stream_token": Operation("Let a page follow a job"),
    "read_artifact": Operation(
        "Read an artifact",
        parameters=(RANGE, IF_RANGE, IF_NONE_MATCH, IF_MATCH_ARTIFACT),
        answers={
            200: Answer("The file.", always=("Accept-Ranges", "Content-Disposition"), content=ANY_FILE),
            206: Answer("The part that was asked for.", always=("Content-Range",), content=ANY_FILE),
            304: Answer("The client has it."),
        },
        errors=(
            ArtifactNotFound,
            PreconditionFailed("The artifact has another `ETag`."),
            RangeNotSatisfiable,
            InvalidRequest("The header Range was sent more than once."),
            StorageUnavailable,
        ),
    ),
    "read_webhook": Operation("Read the deliveries of a webhook", errors=(WebhookNotFound,)),
    "redeliver_webhook": Operation("Deliver a webhook again", errors=(WebhookNotFound, JobNotFinished)),
    "read_webhook_secrets": Operation(
        "Read the secrets of a receiver",
        errors=(
            no_key(),
            no_host(),
            WebhooksDisabled,
        ),
        asks_redis=False,
    ),
    "upload_file": Operation(
        "Upload a file",
        parameters=(CONTENT_DISPOSITION,),
        answers={201: Answer("The file is stored.")},
        errors=(
            RequestTimeout("The file came with less than 1000 bytes a second."),
            PayloadTooLarge("The body is larger than 1073741824 bytes."),
            UnsupportedMediaType("The body is encoded as 'br'."),
            InvalidRequest("The form holds no file."),
            StorageUnavailable,
            QuotaReached("Files kept for this caller: 100 of 100."),
            TooManyAtOnce("Uploads of this caller that run here: 16 of 16."),
            StorageFull,
        ),
        body=FILE_BODY,
    ),
    "get_file": Operation("Read a file's record", answers={200: Answer("Its record.")}),
    "delete_file": Operation(
        "Delete a file", answers={204: Answer("The file is gone.")}, errors=(FileInUse,)
    ),
    "list_job_types": Operation("All job types", asks_redis=False),
    "get_job_type": Operation(
        "One job type",
        errors=(NotFound("There is no job type 'ehco'.", hint="GET /job-types lists them."),),
        asks_redis=False,
    ),
    "list_queues": Operation("All queues", errors=(ALL_CALLERS,)),
    "get_queue": Operation("One queue", errors=(BAD_QUEUE, ALL_CALLERS)),
    "pause_queue": Operation(
        "Pause a queue",
        body=PAUSE_BODY,
        errors=(BAD_QUEUE, MalformedJson, UnsupportedMediaType, PayloadTooLarge),
    ),
    "resume_queue": Operation("Resume a queue", errors=(BAD_QUEUE,)),
    "drain_queue": Operation("Cancel all that waits in a queue", errors=(BAD_QUEUE,)),
    "read_figures": Operation("Figures", errors=(ALL_CALLERS,)),
    "follow_jobs": Operation(
        "Follow many jobs",
        answers={200: Answer("Changes of jobs and figures, until the client leaves.", content=ACTIVITY)},
        errors=(
            InvalidRequest("The query parameter state: Input should be …"),
            TooManyAtOnce("Streams of this caller that run here: 1000 of 1000."),
        ),
        asks_redis=False,
    ),
    "list_attempts": Operation("Read the attempts at a job"),
    "list_workers": Operation("All live workers", errors=(ALL_CALLERS,)),
    "server_info": Operation("The server, its queues and workers"),
    "healthz": Operation("Liveness", asks_redis=False),
    "readyz": Operation(
        "Readiness",
        answers={
            503: Answer(
                "Redis does not answer, or takes no writes.",
                content={
                    "application/json": {
                        "schema": {"$ref": "#/components/schemas/Readiness"},
                        "examples": {"fail": {"value": NO_REDIS}},
                    }
                },
            )
        },
        asks_redis=False,
    ),
}
