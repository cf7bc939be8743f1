"""Which function performs which job type."""

import json
import math
from asyncio import get_running_loop
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from inspect import iscoroutinefunction
from typing import Any, Protocol, TypeVar, overload

from pydantic import TypeAdapter

from shared.job_type import JobType, Params
from shared.job_type_loader import modules_named
from worker.context import BlockingContext, JobContext
from worker.threads import run_in_thread

SEQUENCES = (list, tuple, set, frozenset, deque)

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
            ValueError: it is not what the contract says, or holds a number that JSON lacks: NaN or infinity.
        """
        value = self._result.validate_python(result)
        body = self._result.dump_json(value)
        if b"null" in body and value is not None:  # what pydantic writes for them
            require_finite(self._result.dump_python(value, by_alias=True))
        return body


def require_finite(result: Any) -> None:
    """Raise ValueError with the place of the first number that is NaN or infinite."""
    try:
        json.dumps(result, allow_nan=False, skipkeys=True, default=_plain)
    except ValueError:
        for place, number in _numbers(result, "result"):
            if not math.isfinite(number):
                raise ValueError(f"{place} is {number}, which JSON lacks.") from None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, SEQUENCES) else repr(value)


def _numbers(value: Any, place: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield place, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, f"{place}.{name}")
    elif isinstance(value, SEQUENCES):
        for number, inner in enumerate(value):
            yield from _numbers(inner, f"{place}.{number}")


class Mark(Protocol[P, R]):
    """Marks a function of either kind."""

    @overload
    def __call__(self, function: AsyncFunction[P, R]) -> AsyncFunction[P, R]: ...
    @overload
    def __call__(self, function: PlainFunction[P, R]) -> PlainFunction[P, R]: ...


def handles(job_type: JobType[P, R]) -> Mark[P, R]:
    """Mark a function as the one that performs jobs of this type."""

    def mark(function: Any) -> Any:
        function.__handles__ = job_type
        return function

    return mark


def load_handlers() -> list[Handler]:
    """The handler of every job type."""
    return [
        Handler(function.__handles__, function)
        for module in modules_named("handler")
        for function in vars(module).values()
        if hasattr(function, "__handles__") and function.__module__ == module.__name__
    ]


def by_type(
    found: Iterable[Handler], job_types: Mapping[str, JobType[Any, Any]], queues: Iterable[str]
) -> dict[str, Handler]:
    """The handlers by job type.

    Raises:
        ValueError: two handlers perform one type, or a type of these queues has none.
    """
    index: dict[str, Handler] = {}
    for handler in found:
        name = handler.job_type.name
        if name in index:
            raise ValueError(f"Two handlers in job_types/ perform {name!r}; remove one.")
        index[name] = handler
    served = set(queues)
    missing = [c.name for c in job_types.values() if c.queue in served and c.name not in index]
    if missing:
        raise ValueError(f"No handler performs {', '.join(missing)}; add job_types/<name>/handler.py.")
    return index
