"""Methods that run an asynchronous operation to its end, without an event loop.

All awaitables of an operation come from a BlockingTransport, whose coroutines block in place of waiting. So
the first `send` runs such a coroutine to its end.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Operations = TypeVar("Operations")
Operations_co = TypeVar("Operations_co", covariant=True)


class Face(Protocol[Operations_co]):
    """Blocking face of some operations."""

    @property
    def _operations(self) -> Operations_co: ...


def blocking(
    operation: Callable[Concatenate[Operations, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Face[Operations], P], T]:
    """Make a method that runs the operation and returns its value."""

    @wraps(operation)
    def method(self: Face[Operations], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return _run(operation(self._operations, *args, **kwargs))

    return method


def iterating(
    operation: Callable[Concatenate[Operations, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[Face[Operations], P], Iterator[T]]:
    """Make a generator method that yields the operation's items."""

    @wraps(operation)
    def method(self: Face[Operations], /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        items = operation(self._operations, *args, **kwargs)
        try:
            while True:
                yield _run(anext(items))
        except StopAsyncIteration:
            return
        finally:
            _run(items.aclose())

    return method


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    raise RuntimeError("A blocking operation waited for an event loop; use AsyncClient inside of one.")
