"""Which function performs which job type."""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from inspect import iscoroutinefunction
from pkgutil import iter_modules
from typing import Any, TypeVar

from pydantic import TypeAdapter

from shared.contract import Contract, Params
from worker import handlers
from worker.context import JobContext
from worker.threads import run_in_thread

P = TypeVar("P", bound=Params)
R = TypeVar("R")


class Handler:
    """A contract with the function that keeps it."""

    def __init__(self, contract: Contract[Any, Any], function: Callable[[Any, JobContext], Any]) -> None:
        self.contract = contract
        self.function = function
        self._result = TypeAdapter(contract.result)
        self._asynchronous = iscoroutinefunction(function)

    def validate(self, params: bytes) -> Params:
        """The params as the contract's model. Raises pydantic.ValidationError."""
        model: Params = self.contract.params.model_validate_json(params)
        return model

    async def perform(self, params: Params, context: JobContext) -> Any:
        """Run the function: `async def` on the loop, `def` in a thread of its own."""
        if self._asynchronous:
            return await self.function(params, context)
        return await run_in_thread(self.function, params, context)

    def encode(self, result: Any) -> bytes:
        """The result as JSON. Raises pydantic's errors if it is not what the contract says."""
        return self._result.dump_json(self._result.validate_python(result))


def handles(
    contract: Contract[P, R],
) -> Callable[[Callable[[P, JobContext], Any]], Callable[[P, JobContext], Any]]:
    """Mark a function as the one that performs `contract`."""

    def mark(function: Callable[[P, JobContext], Any]) -> Callable[[P, JobContext], Any]:
        function.__handles__ = contract  # type: ignore[attr-defined]
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
