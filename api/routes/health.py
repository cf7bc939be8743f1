"""Is the process alive, and can it serve?"""

from typing import Annotated, Literal

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.dependencies import Queue
from shared.errors import QueueUnavailable

NO_REDIS = {"status": "fail", "checks": {"redis": "fail: Redis does not answer.", "workers": "unknown"}}

router = APIRouter(tags=["health"])


class Health(BaseModel):
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
            "description": "Redis does not answer.",
            "content": {"application/json": {"examples": {"fail": {"value": NO_REDIS}}}},
        }
    },
)
async def readyz(queue: Queue) -> Response:
    """Whether jobs can be accepted now, and whether a worker lives to perform them."""
    try:
        workers = len(await queue.store.workers())
    except QueueUnavailable as error:
        checks = {"redis": f"fail: {error.message}", "workers": "unknown"}
        return _answer(Readiness(status="fail", checks=checks), 503)
    if not workers:
        checks = {"redis": "pass", "workers": "warn: no worker is alive; start one with python -m worker"}
        return _answer(Readiness(status="warn", checks=checks))
    return _answer(Readiness(status="pass", checks={"redis": "pass", "workers": f"pass: {workers} alive"}))


def _answer(readiness: Readiness, status: int = 200) -> Response:
    return Response(orjson.dumps(readiness.model_dump()), status, media_type="application/json")
