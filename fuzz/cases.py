"""What is done to single cases where no document can say what the server wants."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis
from schemathesis import HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import AllowHeaderMismatch, RejectedPositiveData, UnsupportedMethodResponse

from api.strict_json import LARGEST_NUMBER
from api.waiting import LONGEST_WAIT, preferred_wait
from shared.webhooks import LONGEST_URL, URL

Case = schemathesis.Case[Any]
Object = dict[str, Any]

NO_RECEIVER = "http://127.0.0.1:9/"

_pages: dict[str, str | None] = {}  # the last cursor of the list of each state


def add_hooks() -> None:
    """Change each case before it is sent, and judge what is found in its answer, in all runs from now on."""
    for hook in (before_load_schema, before_call, after_call, filter_failure):
        schemathesis.hook(hook)


def before_load_schema(context: HookContext, raw_schema: Object) -> None:
    """Hold each event of a stream to its own schema; `schema` says only that the stream is text."""
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            stream = operation["responses"].get("200", {}).get("content", {}).get("text/event-stream", {})
            if "x-itemSchema" in stream:
                stream["schema"] = stream.pop("x-itemSchema")


def before_call(context: HookContext, case: Case, kwargs: Object) -> None:
    """Keep jobs and waits short; go on at pages that there are; let times lie ahead, but not far."""
    if isinstance(case.query, dict):
        shorten(case.query, "wait", 0.2, longest=LONGEST_WAIT)
        turn_page(case)
    if (preferred_wait(str(case.headers.get("Prefer", ""))) or 0) > 1:
        case.headers["Prefer"] = "wait=1"
    if isinstance(case.body, dict):
        jobs = case.body.get("jobs", [case.body])
        for job in jobs if isinstance(jobs, list) else []:
            if isinstance(job, dict):
                tame(job)


def after_call(context: HookContext, case: Case, response: Response) -> None:
    """Note the cursors that are handed out."""
    if case.path == "/v1/jobs" and case.method == "GET" and response.status_code == 200:
        _pages[str(case.query.get("state"))] = response.json()["next_cursor"]


def filter_failure(context: HookContext, failure: Failure, case: Case, response: Response) -> bool:
    """Whether a failure is one."""
    if isinstance(failure, RejectedPositiveData):  # keys that were used, files, their sizes: in no schema
        return response.json()["code"] not in (
            "idempotency_conflict",
            "unknown_file",
            "range_not_satisfiable",
            "precondition_failed",
        )
    if isinstance(
        failure, AcceptedNegativeData
    ):  # a form that lacks its file is written with one all the same
        return case.path != "/v1/files"
    if isinstance(failure, AllowHeaderMismatch | UnsupportedMethodResponse):
        return case.path != "/v1/jobs/batch"  # to methods other than POST, batch is an id that no job has
    return True


def turn_page(case: Case) -> None:
    """Replace a cursor, which would be one that the list never gave, by the last that it did give."""
    if "cursor" in case.query and case.meta is not None and case.meta.generation.mode.is_positive:
        case.query["cursor"] = _pages.get(str(case.query.get("state"))) or ""


def tame(job: Object) -> None:
    """Let a job be due soon, be over soon, and be told of to nobody; what is not valid stays so."""
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
    """Lower a number that is valid, but larger than this."""
    value = fields.get(name)
    if isinstance(value, int | float) and most < value <= longest and not isinstance(value, bool):
        fields[name] = most


def is_ahead(time: object) -> bool:
    try:
        return isinstance(time, str) and datetime.fromisoformat(time.upper()) > datetime.now(UTC)
    except (ValueError, TypeError):
        return False


def is_url(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_URL and re.search(f"^{URL}$", value) is not None


def bounded(value: Any) -> Any:
    """Any JSON, with numbers that the server takes; its schema is `true`, and leaves no room for bounds."""
    if isinstance(value, dict):
        return {name: bounded(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [bounded(inner) for inner in value]
    if isinstance(value, int | float) and not -LARGEST_NUMBER <= value < LARGEST_NUMBER:
        return LARGEST_NUMBER - 1
    return value
