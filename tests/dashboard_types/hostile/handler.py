"""Handler of the job types `hostile` and `away`."""

import asyncio
from typing import Any

from shared.errors import FinalError, RetryableError
from tests.dashboard_types.hostile.contract import AWAY, HOSTILE, HostileParams
from worker.context import JobContext
from worker.registry import handles


@handles(AWAY)
async def away(params: HostileParams, job: JobContext) -> dict[str, Any]:
    return await hostile(params, job)


@handles(HOSTILE)
async def hostile(params: HostileParams, job: JobContext) -> dict[str, Any]:
    text = params.text
    job.progress(0.5, text[:500])
    job.log(text[:1000], field=text[:1000])
    job.emit(text)
    await job.save_artifact("page.html", text.encode(), "text/html")
    await job.save_artifact("broken.png", text.encode(), "image/png")
    await asyncio.sleep(params.seconds)
    if params.end == "failed":
        raise FinalError(text, code="hostile", hint=text)
    if params.end == "retried":
        raise RetryableError(text, code="hostile_once", hint=text)
    return {text[:200]: text, "list": [text] * 3}
