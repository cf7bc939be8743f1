"""Registry of handlers: the function that performs each job type."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, overload

from shared.job_type import JobType, Params, UnusableJobType
from shared.job_type_loader import OWN_PACKAGES, import_modules
from worker.context import BlockingContext, JobContext
from worker.handler import Handler
from worker.models.batch import SETUP_SECONDS, Batch, Device, ModelFunction
from worker.models.handler import ModelHandler

P = TypeVar("P", bound=Params)
R = TypeVar("R")
AsyncFunction = Callable[[P, JobContext], Awaitable[R]]
PlainFunction = Callable[[P, BlockingContext], R]


class Mark(Protocol[P, R]):
    """The decorator that `handles` returns, for functions of either kind."""

    @overload
    def __call__(self, function: AsyncFunction[P, R]) -> AsyncFunction[P, R]: ...
    @overload
    def __call__(self, function: PlainFunction[P, R]) -> PlainFunction[P, R]: ...


BatchMark = Callable[[Callable[[Any, list[Any]], Sequence[R | Exception]]], Any]
"""The decorator for a function of a model and a list of params."""

ModelMark = Callable[[Callable[[Any, P], R]], Any]
"""The decorator for a function of a model and params."""


@overload
def handles(job_type: JobType[P, R]) -> Mark[P, R]: ...
@overload
def handles(job_type: JobType[P, R], *, batch: Batch) -> BatchMark[R]: ...
@overload
def handles(
    job_type: JobType[P, R], *, setup: Callable[[Device], Any], setup_timeout: float = SETUP_SECONDS
) -> ModelMark[P, R]: ...
def handles(
    job_type: JobType[Any, Any],
    *,
    batch: Batch | None = None,
    setup: Callable[[Device], Any] | None = None,
    setup_timeout: float = SETUP_SECONDS,
) -> Any:
    """Mark a function as the handler of a job type.

    Args:
        job_type: the type of its jobs.
        batch: for a model that performs batches: the function gets the model and a list of params, in a
            process that holds the model, and returns as many results or errors.
        setup: for a model that performs one job at a time: the function gets what this returns, and params.
        setup_timeout: seconds for `setup`.
    """

    def mark(function: Any) -> Any:
        function.__handles__ = job_type
        if batch is not None:
            function.__model__ = ModelFunction(batch)
        elif setup is not None:
            single = Batch(setup=setup, size=1, setup_timeout=setup_timeout)
            function.__model__ = ModelFunction(single, single=True)
        return function

    return mark


def load_handlers(packages: Iterable[str] = OWN_PACKAGES) -> list[Handler]:
    """The handlers in these packages of job types.

    Raises:
        UnusableJobType: a package, or a `handler.py` in it, can't be imported.
    """
    return [
        handler_of(function)
        for package in packages
        for module in import_modules(package, "handler")
        for function in vars(module).values()
        if hasattr(function, "__handles__") and function.__module__ == module.__name__
    ]


def handler_of(function: Any) -> Handler:
    """The handler of a function that `handles` has marked."""
    model: ModelFunction | None = getattr(function, "__model__", None)
    if model is not None:
        return ModelHandler(function.__handles__, function, model)
    return Handler(function.__handles__, function)


def match_handlers(
    handlers: Iterable[Handler], job_types: Mapping[str, JobType[Any, Any]], queues: Iterable[str]
) -> dict[str, Handler]:
    """Match handlers with job types; returns the handlers by the name of their type.

    Raises:
        UnusableJobType: a handler has no contract, two handlers perform one type, or a type of these queues
            has no handler.
    """
    index: dict[str, Handler] = {}
    for handler in handlers:
        name = handler.job_type.name
        if job_types.get(name) is not handler.job_type:
            raise UnusableJobType(
                f"JOB_TYPES: {handler.function_name} performs {name!r}, which no contract defines; define "
                "the job type in the contract.py beside the handler, and import it from there"
            )
        other = index.setdefault(name, handler)
        if other is not handler:
            raise UnusableJobType(
                f"JOB_TYPES: {other.function_name} and {handler.function_name} both perform {name!r}; "
                "remove one of them"
            )
    served = set(queues)
    missing = [name for name, job_type in job_types.items() if job_type.queue in served and name not in index]
    if missing:
        raise UnusableJobType(
            f"JOB_TYPES: no handler performs {', '.join(map(repr, missing))}; add a handler.py beside the "
            "contract, with a function marked by @handles"
        )
    return index
