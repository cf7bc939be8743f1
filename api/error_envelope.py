"""ErrorEnvelope: the one form in which every error reaches a client."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared.answer import ALWAYS_SENT


class ErrorDetail(BaseModel):
    """A fault of a request: its place, a message for people, its kind for programs."""

    path: Annotated[str, Field(examples=["params.seconds"])]
    message: Annotated[str, Field(examples=["Input should be less than or equal to 3600"])]
    kind: Annotated[str, Field(examples=["less_than_equal"])]


class ErrorEnvelope(BaseModel):
    """The body of every answer that is not a success."""

    model_config = ConfigDict(**ALWAYS_SENT, title="Error")

    code: Annotated[str, Field(description="Stable, for programs.")]
    message: Annotated[str, Field(description="The error in words, for people.")]
    hint: Annotated[str, Field(description="The next step, for people.")]
    retryable: Annotated[bool, Field(description="Whether the same request may succeed later.")]
    request_id: Annotated[str, Field(description="Finds the log lines of this request.")]
    details: list[ErrorDetail] = []
