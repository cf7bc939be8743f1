"""What a job type promises: its name, its params and result, and how patiently it is run."""

import random
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict


class Params(BaseModel):
    """Base of every job type's params: unknown fields are an error, values don't change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


P = TypeVar("P", bound=Params)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff between the attempts at a job.

    Attributes:
        first: seconds before the second attempt.
        factor: growth from one pause to the next.
        longest: seconds that no pause exceeds.
        jitter: share of the pause that is drawn at random, 0 to 1, so that jobs which failed
            together do not return together.
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
class Contract(Generic[P, R]):
    """A job type, as API and worker agree on it.

    Attributes:
        name: what a client sends as `type`.
        summary: one line for the API reference.
        params: the model that a job's `params` are validated against.
        result: the type of the handler's result, anything pydantic can serialize.
        example: params that show the type in the API reference.
        queue: the queue it waits in; a worker serves the queues in `WORKER_QUEUES`.
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
