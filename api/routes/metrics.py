"""Metrics for Prometheus, in its own format: not under /v1, and not in the OpenAPI document."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.errors import NotFound
from api.ownership import require_all_read
from api.state import state_of
from shared.metrics.metric_set import CONTENT_TYPE

router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def read_metrics(request: Request) -> Response:
    """The metrics of this API; they tell of all callers' work."""
    require_all_read(request)
    state = state_of(request)
    if state.metrics is None:
        raise NotFound("API_METRICS is off.")
    await state.metrics.queues.refresh(state.queues.all)
    return Response(state.metrics.set.text(), media_type=CONTENT_TYPE)
