"""Handler of the job type `thumbnail`."""

from pathlib import Path
from typing import TYPE_CHECKING

from job_types.thumbnail.contract import THUMBNAIL, SourcePicture, ThumbnailParams, ThumbnailResult
from worker.context import JobContext
from worker.registry import handles

if TYPE_CHECKING:
    from job_types.thumbnail.scaling import Thumbnail


@handles(THUMBNAIL)
async def thumbnail(params: ThumbnailParams, job: JobContext) -> ThumbnailResult:
    """Decode, turn upright, shrink and encode, all in a process: pictures come from strangers."""
    path = await job.open_input(params.file)
    made = await job.in_process(shrink, path, params)
    await job.save_artifact(f"thumbnail.{params.format}", made.data, f"image/{params.format}")
    width, height = made.size
    source_width, source_height = made.source_size
    return ThumbnailResult(
        width=width,
        height=height,
        format=params.format,
        source=SourcePicture(width=source_width, height=source_height, format=made.source_format),
        size=len(made.data),
    )


def shrink(path: Path, params: ThumbnailParams) -> "Thumbnail":
    from job_types.thumbnail.scaling import make_thumbnail

    return make_thumbnail(path, params)
