"""The job type `thumbnail`: a small picture of an uploaded one."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from shared.job_type import FileReference, JobType, Params

Side = Annotated[int, Field(ge=1, le=2048)]
Format = Literal["png", "webp", "avif"]


class ThumbnailParams(Params):
    file: Annotated[
        FileReference,
        Field(
            description="The picture: JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF; of several frames the first."
        ),
    ]
    width: Annotated[Side, Field(description="Pixels that the thumbnail is wide at most.")] = 256
    height: Annotated[Side, Field(description="Pixels that it is high at most.")] = 256
    format: Annotated[Format, Field(description="The thumbnail's own format.")] = "png"
    quality: Annotated[
        int,
        Field(ge=1, le=100, description="Of a WebP or AVIF: higher is better and larger. A PNG is exact."),
    ] = 80


class SourcePicture(BaseModel):
    """The uploaded picture, the way up that it is looked at."""

    width: int
    height: int
    format: str


class ThumbnailResult(BaseModel):
    """The thumbnail keeps the proportions of its source, and is never larger."""

    width: int
    height: int
    format: Format
    source: SourcePicture
    size: Annotated[int, Field(description="Bytes of the artifact.")]


THUMBNAIL = JobType(
    name="thumbnail",
    summary="Fit a picture into a box; the artifact is `thumbnail.png`, `.webp` or `.avif`.",
    params=ThumbnailParams,
    result=ThumbnailResult,
    example={"file": "file_019ab1c27d107c4e9a553f5b8f0e6d21", "width": 128, "height": 128, "format": "webp"},
    timeout=120,
)
