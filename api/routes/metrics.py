"""Metrics for Prometheus, in its own format: not under /v1, and not in the OpenAPI document."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.errors import Forbidden
from api.ownership import owner_read
from api.state import state_of
from shared.metrics.metric_set import CONTENT_TYPE

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def read_metrics(request: Request) -> Response:
    """The metrics of this API; they tell of all callers' work."""
    metrics = state_of(request).metrics
    if owner_read(request) is not None:
        raise Forbidden("GET /metrics needs the scope 'read', which this API key does not have.")
    return Response(metrics.set.text() if metrics else b"", media_type=CONTENT_TYPE)
