"""Which function performs which job type."""

from asyncio import get_running_loop
from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib import import_module
from inspect import iscoroutinefunction
from pkgutil import iter_modules
from typing import Any, Protocol, TypeVar, overload

from pydantic import TypeAdapter

from shared.contract import Contract, Params
from worker import handlers
from worker.context import BlockingContext, JobContext
from worker.threads import run_in_thread

P = TypeVar("P", bound=Params)
R = TypeVar("R")
AsyncFunction = Callable[[P, JobContext], Awaitable[R]]
PlainFunction = Callable[[P, BlockingContext], R]


class Handler:
    """A contract with the function that keeps it."""

    def __init__(self, contract: Contract[Any, Any], function: Callable[[Any, Any], Any]) -> None:
        self.contract = contract
        self.function = function
        self._decode: Callable[[bytes], Any] = contract.codec.decode
        self._result = TypeAdapter(contract.result)
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
        """The result as JSON. Raises pydantic's errors if it is not what the contract says."""
        return self._result.dump_json(self._result.validate_python(result))


class Mark(Protocol[P, R]):
    """Marks a function of either kind."""

    @overload
    def __call__(self, function: AsyncFunction[P, R]) -> AsyncFunction[P, R]: ...
    @overload
    def __call__(self, function: PlainFunction[P, R]) -> PlainFunction[P, R]: ...


def handles(contract: Contract[P, R]) -> Mark[P, R]:
    """Mark a function as the one that performs `contract`."""

    def mark(function: Any) -> Any:
        function.__handles__ = contract
        return function

    return mark


def load_handlers() -> list[Handler]:
    """Every handler in `worker/handlers/`."""
    modules = [
        import_module(f"{handlers.__name__}.{module.name}") for module in iter_modules(handlers.__path__)
    ]
    return [
        Handler(function.__handles__, function)
        for module in modules
        for function in vars(module).values()
        if hasattr(function, "__handles__") and function.__module__ == module.__name__
    ]


def by_type(
    found: Iterable[Handler], contracts: Mapping[str, Contract[Any, Any]], queues: Iterable[str]
) -> dict[str, Handler]:
    """The handlers by job type.

    Raises:
        ValueError: two handlers perform one type, or a type of these queues has none.
    """
    index: dict[str, Handler] = {}
    for handler in found:
        name = handler.contract.name
        if name in index:
            raise ValueError(f"Two handlers in worker/handlers/ perform {name!r}; remove one.")
        index[name] = handler
    served = set(queues)
    missing = [c.name for c in contracts.values() if c.queue in served and c.name not in index]
    if missing:
        raise ValueError(f"No handler performs {', '.join(missing)}; add a file to worker/handlers/.")
    return index
