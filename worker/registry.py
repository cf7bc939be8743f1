"""Registry of handlers: the function that performs each job type."""

from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Iterable, Mapping
from inspect import iscoroutinefunction
from typing import Any, Protocol, TypeVar, overload

from pydantic import TypeAdapter

from shared.job_type import JobType, Params, UnusableJobType
from shared.job_type_loader import OWN_PACKAGES, import_modules
from worker.context import BlockingContext, JobContext
from worker.finite_numbers import require_finite
from worker.threads import run_in_thread

P = TypeVar("P", bound=Params)
R = TypeVar("R")
AsyncFunction = Callable[[P, JobContext], Awaitable[R]]
PlainFunction = Callable[[P, BlockingContext], R]


class Handler:
    """A job type with the function that performs it.

    Args:
        job_type: the type of its jobs.
        function: performs a job of that type.
        logs_start: whether the start of an attempt is logged at INFO.
    """

    def __init__(
        self,
        job_type: JobType[Any, Any],
        function: Callable[[Any, Any], Any],
        *,
        logs_start: bool = True,
    ) -> None:
        self.job_type = job_type
        self.function = function
        self.logs_start = logs_start
        self._decode: Callable[[bytes], Any] = job_type.codec.decode
        self._result = TypeAdapter(job_type.result)
        self._asynchronous = iscoroutinefunction(function)

    @property
    def function_name(self) -> str:
        """The full name of the function, for errors."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def validate(self, params: bytes) -> Params:
        """Stored params as the contract's model. Raises pydantic.ValidationError."""
        model: Params = self._decode(params)
        return model

    async def perform(self, params: Params, context: JobContext) -> Any:
        """Run the function: `async def` on the loop, `def` in a thread of its own."""
        if self._asynchronous:
            return await self.function(params, context)
        return await run_in_thread(self.function, params, BlockingContext(context, get_running_loop()))

    def encode(self, result: Any) -> bytes:
        """The result as JSON.

        Raises:
            ValueError: the result does not fit the contract, or holds NaN or infinity, which JSON lacks.
        """
        value = self._result.validate_python(result)
        body = self._result.dump_json(value)
        if b"null" in body and value is not None:  # pydantic writes null for NaN and infinity
            require_finite(self._result.dump_python(value, by_alias=True))
        return body


class Mark(Protocol[P, R]):
    """The decorator that `handles` returns, for functions of either kind."""

    @overload
    def __call__(self, function: AsyncFunction[P, R]) -> AsyncFunction[P, R]: ...
    @overload
    def __call__(self, function: PlainFunction[P, R]) -> PlainFunction[P, R]: ...


def handles(job_type: JobType[P, R]) -> Mark[P, R]:
    """Mark a function as the handler of a job type."""

    def mark(function: Any) -> Any:
        function.__handles__ = job_type
        return function

    return mark


def load_handlers(packages: Iterable[str] = OWN_PACKAGES) -> list[Handler]:
    """The handlers in these packages of job types.

    Raises:
        UnusableJobType: a package, or a `handler.py` in it, can't be imported.
    """
    return [
        Handler(function.__handles__, function)
        for package in packages
        for module in import_modules(package, "handler")
        for function in vars(module).values()
        if hasattr(function, "__handles__") and function.__module__ == module.__name__
    ]


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
