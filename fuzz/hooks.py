"""Hooks of Schemathesis, for the rules that no OpenAPI document can express."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis
from schemathesis import HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure, ServerError
from schemathesis.openapi.checks import AllowHeaderMismatch, RejectedPositiveData, UnsupportedMethodResponse

from api.strict_json import MAX_NUMBER
from api.waiting import MAX_WAIT, preferred_wait
from shared.webhooks.addresses import MAX_URL_LENGTH, URL

Case = schemathesis.Case[Any]
Object = dict[str, Any]

BULK = ("/v1/jobs/cancel", "/v1/jobs/retry")
NAMES_LIKE_IDS = ("/v1/jobs/batch", *BULK)
"""Paths that are those of unknown jobs for methods other than POST."""
NO_RECEIVER = "http://127.0.0.1:9/"

_cursors: dict[str, str | None] = {}  # the last cursor of the list of each state


def add_hooks() -> None:
    """Register the hooks for all runs of this process."""
    for hook in (before_load_schema, before_call, after_call, filter_failure):
        schemathesis.hook(hook)


def before_load_schema(context: HookContext, raw_schema: Object) -> None:
    """Check each event of a stream against its own schema; `schema` says only that the stream is text."""
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            stream = operation["responses"].get("200", {}).get("content", {}).get("text/event-stream", {})
            if "x-itemSchema" in stream:
                stream["schema"] = stream.pop("x-itemSchema")


def before_call(context: HookContext, case: Case, kwargs: Object) -> None:
    """Keep jobs, waits and delays short, and use cursors that the list has returned."""
    if isinstance(case.query, dict):
        shorten(case.query, "wait", 0.2, longest=MAX_WAIT)
        use_real_cursor(case)
    if (preferred_wait(str(case.headers.get("Prefer", ""))) or 0) > 1:
        case.headers["Prefer"] = "wait=1"
    if isinstance(case.body, dict):
        if case.path in BULK and isinstance(case.body.get("cursor"), str):
            case.body["cursor"] = None
        jobs = case.body.get("jobs", [case.body])
        for job in jobs if isinstance(jobs, list) else []:
            if isinstance(job, dict):
                shorten_job(job)


def after_call(context: HookContext, case: Case, response: Response) -> None:
    """Remember the cursors that the list returns."""
    if case.path == "/v1/jobs" and case.method == "GET" and response.status_code == 200:
        _cursors[str(case.query.get("state"))] = response.json()["next_cursor"]


def filter_failure(context: HookContext, failure: Failure, case: Case, response: Response) -> bool:
    """Whether a failure counts; some are right answers to rules outside the schema."""
    if isinstance(failure, RejectedPositiveData):  # used keys, missing files and their sizes are in no schema
        envelope = response.json()
        if [fault["kind"] for fault in envelope["details"]] == ["wrong_state"]:  # of a job to cancel or retry
            return False
        return envelope["code"] not in (
            "idempotency_conflict",
            "job_expired",  # another request has forgotten it
            "unknown_file",
            "range_not_satisfiable",
            "precondition_failed",
        )
    if isinstance(failure, ServerError):  # no worker here has the model
        return bool(response.json()["code"] != "embeddings_late")
    if isinstance(failure, AcceptedNegativeData):
        # Schemathesis sends a file even in a form that should lack one, and takes 413 for an acceptance.
        return case.path != "/v1/files" and response.status_code != 413
    if isinstance(failure, AllowHeaderMismatch | UnsupportedMethodResponse):
        return case.path not in NAMES_LIKE_IDS
    return True


def use_real_cursor(case: Case) -> None:
    """Replace a made-up cursor by the last that the list returned."""
    if "cursor" in case.query and case.meta is not None and case.meta.generation.mode.is_positive:
        case.query["cursor"] = _cursors.get(str(case.query.get("state"))) or ""


def shorten_job(job: Object) -> None:
    """Make a job start soon, end soon, and send its webhook nowhere; invalid values stay invalid."""
    shorten(job, "delay_seconds", 0.5, longest=365 * 86400)
    if is_ahead(job.get("run_at")):
        job["run_at"] = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
    if isinstance(webhook := job.get("webhook"), dict) and is_url(webhook.get("url")):
        webhook["url"] = NO_RECEIVER
    if isinstance(params := job.get("params"), dict):
        shorten(params, "seconds", 0.5, longest=3600)
        shorten(params, "failures", 1, longest=100)
        if "message" in params:
            params["message"] = bounded(params["message"])


def shorten(fields: Object, name: str, most: float, *, longest: float) -> None:
    """Lower a valid number to `most`."""
    value = fields.get(name)
    if isinstance(value, int | float) and most < value <= longest and not isinstance(value, bool):
        fields[name] = most


def is_ahead(time: object) -> bool:
    try:
        return isinstance(time, str) and datetime.fromisoformat(time.upper()) > datetime.now(UTC)
    except (ValueError, TypeError):
        return False


def is_url(value: object) -> bool:
    return (
        isinstance(value, str) and len(value) <= MAX_URL_LENGTH and re.search(f"^{URL}$", value) is not None
    )


def bounded(value: Any) -> Any:
    """Any JSON with its numbers within the server's bounds, which the schema `true` can't express."""
    if isinstance(value, dict):
        return {name: bounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [bounded(inner) for inner in value]
    if isinstance(value, int | float) and not -MAX_NUMBER <= value < MAX_NUMBER:
        return MAX_NUMBER - 1
    return value
