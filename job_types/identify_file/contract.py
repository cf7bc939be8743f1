"""The job type `identify_file`: the content type of an uploaded file, found in its bytes."""

from typing import Annotated

from pydantic import BaseModel, Field

from shared.job_type import FileReference, JobType, Params


class IdentifyFileParams(Params):
    file: Annotated[
        FileReference, Field(description="The file; its name and its declared type do not count.")
    ]


class IdentifyFileResult(BaseModel):
    """The content type of a file."""

    label: Annotated[
        str,
        Field(
            description="Short name, such as `pdf` or `python`; `txt` or `unknown` where the score of every "
            "narrower label is too low, `empty` for no bytes."
        ),
    ]
    mime_type: str
    group: Annotated[str, Field(description="Such as `code`, `document`, `image` or `archive`.")]
    description: str
    extensions: Annotated[list[str], Field(description="Usual endings of names, without a dot.")]
    is_text: bool
    score: Annotated[
        float, Field(ge=0, le=1, description="How sure the model is; 1 where no model is needed.")
    ]


IDENTIFY_FILE = JobType(
    name="identify_file",
    summary="Identify the content type of a file by its bytes, whatever its name says.",
    params=IdentifyFileParams,
    result=IdentifyFileResult,
    example={"file": "file_019ab1c27d107c4e9a553f5b8f0e6d21"},
    queue="identify_file",
    timeout=60,
)
