"""Batch and Device: how a job type loads its model, and how its jobs run together."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from worker.context import JobContext

SETUP_SECONDS = 600.0


class Device(NamedTuple):
    """The device of a model host, as `setup` gets it.

    Attributes:
        name: `cpu` or `cuda`; a host sees its own GPU alone, as the first one.
        threads: threads that the model may compute with.
    """

    name: str
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How a job type loads its model, and how its jobs run together.

    Attributes:
        setup: returns the model; runs once in each model host. `setup` and the function are found by their
            names at the top level of a module.
        size: jobs of a batch at most.
        cost: bound of a batch's cost; a dearer job runs alone.
        cost_of: the cost of a job, such as its tokens, by its params; runs in the worker, so it must be
            quick. The jobs of a batch then have similar costs.
        padded: whether a batch costs its dearest job times their number; else the sum of their costs.
        wait: seconds for which the oldest job waits for others while a host is free. None are best, unless
            you measured otherwise: batches grow by load alone.
        setup_timeout: seconds for `setup`.
        prepare: runs in the worker before a job joins a batch; the function gets its return value in place
            of the params, such as the path of an uploaded file.

    Raises:
        ValueError: the values do not fit together.
    """

    setup: Callable[[Device], Any]
    size: int = 32
    cost: int | None = None
    cost_of: Callable[[Any], int] | None = None
    padded: bool = True
    wait: float = 0.0
    setup_timeout: float = SETUP_SECONDS
    prepare: "Callable[[Any, JobContext], Awaitable[Any]] | None" = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("Batch: size must be 1 or more")
        if self.cost is not None and self.cost_of is None:
            raise ValueError("Batch: cost needs cost_of, which says what a job costs")
        if self.wait < 0 or self.setup_timeout <= 0:
            raise ValueError("Batch: wait must be 0 or more, and setup_timeout more than 0")


@dataclass(frozen=True, slots=True)
class ModelFunction:
    """The mark of a function that a model host runs.

    Attributes:
        batch: the batches, and the setup.
        single: whether the function performs one job a call: it gets params and returns a result, where
            others get and return lists.
    """

    batch: Batch
    single: bool = False
