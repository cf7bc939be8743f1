"""The worker's event loop, which a handler can't end, with tasks that only their own job can cancel."""

import asyncio
from collections.abc import Coroutine
from contextvars import Context, ContextVar
from typing import Any, Protocol, TypeVar

import uvloop

from shared.logging import get_log

T = TypeVar("T")

log = get_log(__name__)


class Owner(Protocol):
    """A job, as far as its tasks need it.

    Attributes:
        ended: whether it has been settled.
        warned: whether the log says that it has reached for tasks of others.
    """

    ended: bool
    warned: bool


owner_context: ContextVar[Owner | None] = ContextVar("owner_context", default=None)
"""The job whose handler runs in this context; None in the engine."""


class OwnedTask(asyncio.Task[T]):
    """A task of a job or of the engine. A handler cancels its own tasks, and those that an ended job left.

    `for task in asyncio.all_tasks(): task.cancel()` so ends the job that says it, and no other one.
    """

    __slots__ = ("owner",)
    owner: Owner | None

    def cancel(self, msg: Any | None = None) -> bool:
        caller = owner_context.get()
        if caller is None or caller is self.owner or (self.owner is not None and self.owner.ended):
            return super().cancel(msg)
        if not caller.warned:
            caller.warned = True
            log.warning("a handler tried to cancel tasks that are not its own; they go on")
        return False


class WorkerLoop(uvloop.Loop):
    """An event loop that refuses calls of a handler that would end it for all jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.set_task_factory(make_task)

    def stop(self) -> None:
        _refuse_handlers("stop the worker's event loop")
        super().stop()

    def set_task_factory(self, factory: Any) -> None:
        _refuse_handlers("replace the worker's tasks")
        super().set_task_factory(factory)

    def set_exception_handler(self, handler: Any) -> None:
        _refuse_handlers("set an exception handler for all jobs")
        super().set_exception_handler(handler)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        _refuse_handlers("shut down the threads of all jobs")
        await super().shutdown_default_executor(timeout)


def make_task(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, T],
    *,
    context: Context | None = None,
    **options: Any,
) -> OwnedTask[T]:
    """A task with the owner of its context; `asyncio.Task` has more options in newer Pythons."""
    task: OwnedTask[T] = OwnedTask.__new__(OwnedTask)
    # First of all: with eager_start=True the coroutine begins before the task is made.
    task.owner = owner_context.get() if context is None else context.get(owner_context)
    OwnedTask.__init__(task, coroutine, loop=loop, context=context, **options)
    return task


def own_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], owner: Owner
) -> asyncio.Task[T]:
    """As `create_task`, for less: the coroutine itself sets its `owner_context`."""
    task: OwnedTask[T] = OwnedTask(coroutine, loop=loop)
    task.owner = owner
    return task


def create_task(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], owner: Owner | None
) -> asyncio.Task[T]:
    """A task of this job, or of the engine, from whatever context."""
    token = owner_context.set(owner)
    try:
        return loop.create_task(coroutine)
    finally:
        owner_context.reset(token)


def _refuse_handlers(act: str) -> None:
    if owner_context.get() is not None:
        raise RuntimeError(f"A handler must not {act}; return from the handler, or raise an error.")
