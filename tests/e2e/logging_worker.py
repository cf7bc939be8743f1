"""Worker whose handler of thumbnails writes to the log of its job: `python -m tests.e2e.logging_worker`."""

import sys

from job_types.thumbnail.contract import THUMBNAIL, ThumbnailParams, ThumbnailResult
from job_types.thumbnail.handler import thumbnail
from shared.job_type_loader import load_job_types
from shared.settings import read_settings
from worker.__main__ import work
from worker.context import JobContext
from worker.handler import Handler
from worker.registry import load_handlers
from worker.settings import WorkerSettings


async def thumbnail_with_log(params: ThumbnailParams, job: JobContext) -> ThumbnailResult:
    job.log("begun", width=params.width)
    made: ThumbnailResult = await thumbnail(params, job)
    job.log("made", size=made.size)
    return made


if __name__ == "__main__":
    handlers = [handler for handler in load_handlers() if handler.job_type is not THUMBNAIL]
    handlers.append(Handler(THUMBNAIL, thumbnail_with_log))
    sys.exit(work(read_settings(WorkerSettings), load_job_types(), handlers))
