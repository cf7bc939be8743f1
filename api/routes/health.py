"""Health: liveness and readiness."""

from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.state import state_of
from shared.answer import ALWAYS_SENT
from shared.errors import QueueUnavailable, StorageUnavailable
from shared.files import FileStore
from shared.store.preflight import lacking
from shared.store.workers import LiveWorker

NO_WORKER = "warn: no worker is alive; start one with python -m worker"
FULL = "warn: the file store is full; make room behind ARTIFACTS_URL"

router = APIRouter(tags=["health"])


class Health(BaseModel):
    model_config = ALWAYS_SENT

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """With `warn` the server still accepts jobs, but no worker or model is ready, or files have no room."""

    status: Literal["pass", "warn", "fail"]
    checks: Annotated[
        dict[str, str], Field(examples=[{"redis": "pass", "workers": NO_WORKER, "files": FULL}])
    ]


@router.get("/healthz", response_model=Health)
async def healthz() -> Response:
    """Always `ok` while the process serves; Redis is not asked."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get("/readyz", response_model=Readiness)
async def readyz(request: Request) -> Response:
    """Whether jobs and files can be accepted, by trying it, and whether a worker is alive."""
    state = state_of(request)
    try:
        if missing := await state.queue.probe():
            return _fail(lacking(missing[0]))
        workers = await state.queue.workers()
    except QueueUnavailable as error:
        return _fail(error.message)
    checks = {"redis": "pass", "workers": f"pass: {len(workers)} alive" if workers else NO_WORKER}
    if models := _check_of_models(workers):
        checks["models"] = models
    if fault := await _fault_of_files(state.files):
        checks["files"] = fault
    warned = any(check.startswith("warn") for check in checks.values())
    return _answer(Readiness(status="warn" if warned else "pass", checks=checks))


def _check_of_models(workers: list[LiveWorker]) -> str | None:
    """Whether each model is loaded by a worker; None if no worker has a model."""
    states: dict[str, set[str]] = {}
    for worker in workers:
        for model in worker.models:
            states.setdefault(model["type"], set()).add(model["state"])
    waiting = sorted(name for name, found in states.items() if "READY" not in found)
    failed = [name for name in waiting if "STARTING" not in states[name]]
    if failed:
        return f"warn: models can't be loaded: {', '.join(failed)}; see the errors in /server/info"
    if waiting:
        return f"warn: models load: {', '.join(waiting)}"
    return "pass" if states else None


async def _fault_of_files(files: FileStore) -> str | None:
    try:
        return None if await files.has_room() else FULL
    except StorageUnavailable as error:
        return f"warn: {error.message}"


def _fail(reason: str) -> Response:
    checks = {"redis": f"fail: {reason}", "workers": "unknown"}
    return _answer(Readiness(status="fail", checks=checks), 503)


def _answer(readiness: Readiness, status: int = 200) -> Response:
    return Response(orjson.dumps(readiness.model_dump()), status, media_type="application/json")
