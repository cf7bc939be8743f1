"""The peer of the API: a plain FastAPI app with `response_model`, stock `enqueue_job` and a record hash."""

import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from arq import create_pool
from arq.connections import RedisSettings
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")


class PeerJob(BaseModel):
    type: str
    params: dict[str, Any]


class PeerRecord(BaseModel):
    job_id: str
    type: str
    state: str
    done: bool
    params: dict[str, Any]
    result: Any = None
    error: str | None = None
    attempt: int = 0
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.redis = await create_pool(RedisSettings.from_dsn(URL))
    yield
    await app.state.redis.aclose()


app = FastAPI(lifespan=lifespan)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/jobs", status_code=202, response_model=PeerRecord)
async def submit_job(job: PeerJob, request: Request) -> PeerRecord:
    redis, job_id, now = request.app.state.redis, uuid4().hex, time.time()
    fields = {"type": job.type, "state": "pending", "params": json.dumps(job.params), "created_at": now}
    await redis.hset(f"record:{job_id}", mapping=fields)
    await redis.enqueue_job(job.type, job_id, job.params, _job_id=job_id)
    return PeerRecord(
        job_id=job_id, type=job.type, state="pending", done=False, params=job.params, created_at=now
    )


@app.get("/jobs/{job_id}", response_model=PeerRecord)
async def get_job(job_id: str, request: Request) -> PeerRecord:
    found = await request.app.state.redis.hgetall(f"record:{job_id}")
    if not found:
        raise HTTPException(404, "There is no such job.")
    fields = {name.decode(): value.decode() for name, value in found.items()}
    done = fields["state"] in ("completed", "failed")
    return PeerRecord.model_validate(
        {**fields, "job_id": job_id, "done": done, "params": json.loads(fields["params"])}
    )
