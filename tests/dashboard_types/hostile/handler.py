"""Handler of the job type `hostile`."""

from typing import Any

from shared.errors import FinalError
from tests.dashboard_types.hostile.contract import HOSTILE, HostileParams
from worker.context import JobContext
from worker.registry import handles


@handles(HOSTILE)
async def hostile(params: HostileParams, job: JobContext) -> dict[str, Any]:
    text = params.text
    job.progress(0.5, text[:500])
    job.log(text, **{"field": text})
    job.emit(text)
    await job.save_artifact("page.html", text.encode(), "text/html")
    await job.save_artifact("broken.png", text.encode(), "image/png")
    if params.fails:
        raise FinalError(text, code="hostile", hint=text)
    return {text[:200]: text, "list": [text] * 3}
