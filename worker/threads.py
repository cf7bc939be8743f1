"""Run a blocking function in a daemon thread of its own.

Python can't end a thread. A handler that is abandoned, because its time is over or its job cancelled,
must hold up neither the jobs after it, as it would in a pool, nor the end of the process, as it would
in a thread that is not a daemon.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def run_in_thread(function: Callable[..., T], *arguments: object) -> T:
    """The function's result; a cancelled caller leaves the thread behind."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    context = copy_context()

    def work() -> None:
        try:
            result = context.run(function, *arguments)
        except (StopIteration, GeneratorExit) as error:  # a future can't carry them
            deliver(done.set_exception, RuntimeError(f"The handler raised {error!r}."))
        except BaseException as error:
            deliver(done.set_exception, error)
        else:
            deliver(done.set_result, result)

    def deliver(settle: Callable[..., None], outcome: object) -> None:
        def settle_unless_abandoned() -> None:
            if not done.done():
                settle(outcome)

        with suppress(RuntimeError):  # the loop has closed: nobody waits
            loop.call_soon_threadsafe(settle_unless_abandoned)

    Thread(target=work, name=f"handler-{function.__name__}", daemon=True).start()
    return await done
