"""Operation: the description of one operation of the API, as the OpenAPI document completes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.reference.parameters import Parameter
from shared.errors import JobServerError

Error = JobServerError | type[JobServerError]
"""An error that an operation may answer with; a class is shown by its own example."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer.

    Attributes:
        description: the case in which it comes.
        always: names of the headers that each such answer has.
        sometimes: names of the headers that some have.
        schema: name of the schema of its body, unless the route's response model gives it.
        content: its body by media type, unless it is JSON.
        links: links to further operations.
    """

    description: str
    always: Sequence[str] = ()
    sometimes: Sequence[str] = ()
    schema: str | None = None
    content: Mapping[str, Any] | None = None
    links: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the API.

    Attributes:
        summary: its title.
        parameters: its parameters that the framework does not know.
        answers: its successful answers, by status.
        errors: its errors beside those that follow by rule.
        body: its request body; that of a submission comes from `_describe_submissions` in `openapi.py`.
        asks_redis: whether it fails while Redis is away.
    """

    summary: str
    parameters: Sequence[Parameter] = ()
    answers: Mapping[int, Answer] = field(default_factory=dict)
    errors: Sequence[Error] = ()
    body: Mapping[str, Any] | None = None
    asks_redis: bool = True
