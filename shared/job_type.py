"""Job types as API and worker agree on them: name, params, result, and the limits of their attempts."""

import random
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)

from shared.params_codec import ParamsCodec, ParamsNotKept

FILE_ID = r"^file_[0-9a-f]{32}$"


def _note_file(file_id: str, info: ValidationInfo) -> str:
    if isinstance(info.context, set):
        info.context.add(file_id)
    return file_id


FileReference = Annotated[
    str,
    Field(
        pattern=FILE_ID,
        description="The `file_id` of an uploaded file.",
        examples=["file_019ab1c27d107c4e9a553f5b8f0e6d21"],
    ),
    AfterValidator(_note_file),
]
"""A param that names an uploaded file, at any depth of the params.

The validation adds each reference to the set in its context, so that the API knows the files of a job.
"""


class UnusableJobType(ValueError):
    """A job type that a process refuses to start with; its text says what to correct."""


class Params(BaseModel):
    """Base of the params of every job type: unknown fields are an error, values can't be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


P = TypeVar("P", bound=Params)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff between the attempts at a job.

    Attributes:
        first: seconds before the second attempt.
        factor: growth from one pause to the next.
        longest: seconds that no pause exceeds.
        jitter: share of the pause that is random, 0 to 1, so that jobs that failed together do not
            return together.
    """

    first: float = 1.0
    factor: float = 2.0
    longest: float = 300.0
    jitter: float = 0.5

    def seconds(self, attempt: int) -> float:
        """The pause in seconds after `attempt` (1 for the first) has failed."""
        pause = min(self.first * self.factor ** min(attempt - 1, 64), self.longest)
        return pause * (1 - self.jitter * random.random())


@dataclass(frozen=True, kw_only=True)
class JobType(Generic[P, R]):
    """A job type, as API and worker agree on it.

    Attributes:
        name: the `type` of a submission.
        summary: one line for the API reference.
        params: the model that a job's `params` are validated against.
        result: the type of the handler's result, anything pydantic can serialize.
        example: params that show the type in the API reference.
        queue: the queue of its jobs; a worker serves the queues in `WORKER_QUEUES`.
        timeout: seconds that one attempt may take.
        max_attempts: attempts before the job fails for good.
        backoff: the pauses between attempts.
    """

    name: str
    summary: str
    params: type[P]
    result: type[R]
    example: dict[str, Any]
    queue: str = "default"
    timeout: float = 300.0
    max_attempts: int = 3
    backoff: Backoff = field(default_factory=Backoff)

    @cached_property
    def codec(self) -> ParamsCodec:
        """The codec of the params, made at its first use."""
        return ParamsCodec(self.params)

    def check_result(self) -> None:
        """Refuse a result that pydantic can't serialize. Raises UnusableJobType."""
        try:
            TypeAdapter(self.result)
        except PydanticUserError:
            raise UnusableJobType(
                f"The result of the job type {self.name!r} can't be serialized: {self.result!r}; let it be a "
                "pydantic model, a dataclass or plain data"
            ) from None

    def check_example(self) -> None:
        """Refuse an example that is not valid, or that does not reach the handler unchanged.

        Raises:
            UnusableJobType: its text names the job type and the field.
        """
        try:
            params = self.params.model_validate_json(orjson.dumps(self.example), strict=True)
            self.codec.encode(params)
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(map(str, fault["loc"]))
            raise UnusableJobType(
                f"The example of the job type {self.name!r} is not valid: {field}: {fault['msg']}; correct "
                "the contract's example."
            ) from None
        except ParamsNotKept as error:
            raise UnusableJobType(
                f"The job type {self.name!r} can't get its params: {error}; give that field a type and "
                "a serializer whose JSON is validated to the same value."
            ) from None
