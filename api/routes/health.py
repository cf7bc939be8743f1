"""Is the process alive, and can it serve?"""

from typing import Annotated, Literal

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.dependencies import Queue
from shared.answer import ALWAYS_SENT
from shared.errors import QueueUnavailable
from shared.store.preflight import lacking

NO_REDIS = {"status": "fail", "checks": {"redis": "fail: Redis does not answer.", "workers": "unknown"}}

router = APIRouter(tags=["health"])


class Health(BaseModel):
    model_config = ALWAYS_SENT

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """`warn` still serves: jobs are accepted, and wait for a worker."""

    status: Literal["pass", "warn", "fail"]
    checks: Annotated[
        dict[str, str], Field(examples=[{"redis": "pass", "workers": "warn: no worker is alive; start one"}])
    ]


@router.get("/healthz", summary="Liveness", response_model=Health)
async def healthz() -> Response:
    """Answers as long as the process does; never touches Redis."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.get(
    "/readyz",
    summary="Readiness",
    response_model=Readiness,
    responses={
        503: {
            "model": Readiness,
            "description": "Redis does not answer, or takes no writes.",
            "content": {"application/json": {"examples": {"fail": {"value": NO_REDIS}}}},
        }
    },
)
async def readyz(queue: Queue) -> Response:
    """Whether jobs can be accepted now, which is tried, and whether a worker lives to perform them."""
    try:
        if missing := await queue.store.probe():
            return _fail(lacking(missing[0]))
        workers = len(await queue.store.workers())
    except QueueUnavailable as error:
        return _fail(error.message)
    if not workers:
        checks = {"redis": "pass", "workers": "warn: no worker is alive; start one with python -m worker"}
        return _answer(Readiness(status="warn", checks=checks))
    return _answer(Readiness(status="pass", checks={"redis": "pass", "workers": f"pass: {workers} alive"}))


def _fail(reason: str) -> Response:
    checks = {"redis": f"fail: {reason}", "workers": "unknown"}
    return _answer(Readiness(status="fail", checks=checks), 503)


def _answer(readiness: Readiness, status: int = 200) -> Response:
    return Response(orjson.dumps(readiness.model_dump()), status, media_type="application/json")
