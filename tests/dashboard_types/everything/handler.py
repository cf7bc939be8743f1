"""Handler of the job type `everything`."""

from typing import Any

from tests.dashboard_types.everything.contract import EVERYTHING, EverythingParams
from worker.context import JobContext
from worker.registry import handles


@handles(EVERYTHING)
async def everything(params: EverythingParams, job: JobContext) -> dict[str, Any]:
    return params.model_dump(mode="json")
