"""Job types: the schemas of their params and results."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, TypeAdapter

import shared.job_type
from api.errors import NotFound
from api.state import state_of

router = APIRouter(tags=["job types"])


class JobType(BaseModel):
    name: str
    summary: str
    params: Annotated[dict[str, Any], Field(description="JSON Schema of the params.")]
    result: Annotated[dict[str, Any], Field(description="JSON Schema of the result.")]
    example: Annotated[dict[str, Any], Field(description="Params to try.")]
    queue: str
    timeout: Annotated[float, Field(description="Seconds one attempt may take.")]
    max_attempts: int


class JobTypes(BaseModel):
    items: list[JobType]


@router.get("/job-types")
async def list_job_types(request: Request) -> JobTypes:
    """The job types of this server, each with the schemas of its params and result, and an example."""
    return JobTypes(items=[_describe(job_type) for job_type in state_of(request).job_types.values()])


@router.get("/job-types/{name}")
async def get_job_type(request: Request, name: str) -> JobType:
    """The schemas of its params and result, an example, its timeout and its number of attempts."""
    job_types = state_of(request).job_types
    if name not in job_types:
        raise NotFound(f"There is no job type {name[:64]!r}.", hint="GET /job-types lists them.")
    return _describe(job_types[name])


def _describe(job_type: shared.job_type.JobType[Any, Any]) -> JobType:
    return JobType(
        name=job_type.name,
        summary=job_type.summary,
        params=job_type.params.model_json_schema(),
        result=TypeAdapter(job_type.result).json_schema(),
        example=job_type.example,
        queue=job_type.queue,
        timeout=job_type.timeout,
        max_attempts=job_type.max_attempts,
    )
