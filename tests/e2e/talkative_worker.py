"""A worker whose thumbnails write down what they do: `python -m tests.e2e.talkative_worker`."""

import sys

from shared.contracts import load_contracts
from shared.contracts.thumbnail import THUMBNAIL, ThumbnailParams, ThumbnailResult
from shared.settings import read_settings
from worker.__main__ import work
from worker.context import JobContext
from worker.handlers.thumbnail import thumbnail
from worker.registry import Handler, load_handlers
from worker.settings import WorkerSettings


async def talk(params: ThumbnailParams, job: JobContext) -> ThumbnailResult:
    job.log("begun", width=params.width)
    made: ThumbnailResult = await thumbnail(params, job)
    job.log("made", size=made.size)
    return made


if __name__ == "__main__":
    others = [handler for handler in load_handlers() if handler.contract is not THUMBNAIL]
    sys.exit(work(read_settings(WorkerSettings), load_contracts(), [*others, Handler(THUMBNAIL, talk)]))
