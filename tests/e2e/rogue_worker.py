"""Worker whose handlers do everything that a handler must not do: `python -m tests.e2e.rogue_worker`."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar, cast

from chaos.handlers.hold_interpreter import HOLDS
from shared.job_type import Backoff, JobType, Params
from shared.job_type_loader import load_job_types
from shared.settings import read_settings
from tests.unit.worker import in_child
from worker.__main__ import work
from worker.context import BlockingContext, JobContext
from worker.handler import Handler
from worker.registry import load_handlers
from worker.settings import WorkerSettings

LONG = 3600.0
F = TypeVar("F", bound=Callable[..., Any])
JOB_TYPES: dict[str, JobType[Any, Any]] = {}
HANDLERS: list[Handler] = []
LEFT_BEHIND: set[asyncio.Task[None]] = set()


class Numbers(Params):
    seconds: float = LONG


class Kind(Params):
    kind: str


class Place(Params):
    started: str


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this works")


BAD_ENDS: dict[str, BaseException] = {
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "BaseException": BaseException("bare"),
    "GeneratorExit": GeneratorExit(),
    "CancelledError": asyncio.CancelledError(),
    "StopIteration": StopIteration(),
    "Unprintable": Unprintable(),
    "Surrogates": ValueError("half a pair: \ud800"),
}
LOOP: list[object] = []
LOOP.append(LOOP)
BAD_RESULTS: dict[str, object] = {
    "object": object(),
    "surrogate": "\ud800",
    "loop": LOOP,
    "set": {object()},
    "large": "x" * 5_000_000,
}


def rogue(
    params: type[Params] = Numbers, *, timeout: float = 60, max_attempts: int = 1, result: Any = Any
) -> Callable[[F], F]:
    """Register a handler under its name, with a contract of these terms."""

    def register(function: F) -> F:
        job_type = JobType(
            name=function.__name__,
            summary="",
            params=params,
            result=result,
            example={},
            timeout=timeout,
            max_attempts=max_attempts,
            backoff=Backoff(first=0.05),
        )
        JOB_TYPES[job_type.name] = job_type
        HANDLERS.append(Handler(job_type, function))
        return function

    return register


@rogue(max_attempts=3)
async def block_the_loop(params: Numbers, job: JobContext) -> str:
    time.sleep(params.seconds)  # noqa: ASYNC251  # the fault on trial
    return "done"


class Note(Params):
    file: str
    seconds: float = 0


@rogue(Note)
async def note_start(params: Note, job: JobContext) -> None:
    """Append job id, process id and time to a file."""
    with open(params.file, "a") as file:  # noqa: ASYNC230, PTH123  # the quickest way
        file.write(f"{job.job_id} {os.getpid()} {time.monotonic()}\n")


@rogue(Note)
async def block_noted(params: Note, job: JobContext) -> None:
    await note_start(params, job)
    time.sleep(params.seconds)  # noqa: ASYNC251  # the fault on trial


class Hold(Kind):
    seconds: float


@rogue(Hold, max_attempts=3)
def hold_the_lock(params: Hold, job: BlockingContext) -> float:
    """Hold the interpreter, so that no other thread runs; returns for how many seconds."""
    return HOLDS[params.kind](params.seconds)


@rogue(Hold, max_attempts=3)
async def hold_the_lock_at_once(params: Hold, job: JobContext) -> float:
    """Hold the interpreter on the event loop, before the jobs of the same claim have begun."""
    return HOLDS[params.kind](params.seconds)


def _cancel_all() -> None:
    for task in asyncio.all_tasks():
        task.cancel()


MEDDLING: dict[str, Callable[[], object]] = {
    "cancel all tasks": _cancel_all,
    "stop the loop": lambda: asyncio.get_running_loop().stop(),
    "close the loop": lambda: asyncio.get_running_loop().close(),
    "run the loop": lambda: asyncio.get_running_loop().run_forever(),
    "replace the tasks": lambda: asyncio.get_running_loop().set_task_factory(None),
    "handle all exceptions": lambda: asyncio.get_running_loop().set_exception_handler(None),
    "shut down the threads": lambda: asyncio.ensure_future(
        asyncio.get_running_loop().shutdown_default_executor()
    ),
}


@rogue(Kind, max_attempts=2)
async def meddle(params: Kind, job: JobContext) -> None:
    if (meddled := MEDDLING[params.kind]()) is not None:
        await cast("asyncio.Task[None]", meddled)
    await asyncio.sleep(0)


@rogue()
async def wait_for_a_task(params: Numbers, job: JobContext) -> str:
    await asyncio.gather(
        asyncio.sleep(params.seconds / 2), asyncio.create_task(asyncio.sleep(params.seconds))
    )
    return "done"


@rogue()
async def ignore_cancellation(params: Numbers, job: JobContext) -> None:
    while True:
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            continue


@rogue(timeout=0.5)
async def ignore_the_timeout(params: Numbers, job: JobContext) -> None:
    await ignore_cancellation(params, job)


@rogue()
async def swallow_cancellation(params: Numbers, job: JobContext) -> str:
    try:
        await asyncio.sleep(LONG)
    except asyncio.CancelledError:
        return "half a result"
    return "whole"


@rogue(timeout=0.5)
async def swallow_the_timeout(params: Numbers, job: JobContext) -> str:
    result: str = await swallow_cancellation(params, job)
    return result


@rogue(Kind)
async def raise_on_the_loop(params: Kind, job: JobContext) -> NoReturn:
    raise BAD_ENDS[params.kind]


@rogue(Kind)
def raise_in_a_thread(params: Kind, job: BlockingContext) -> NoReturn:
    raise BAD_ENDS[params.kind]


@rogue(Kind)
async def return_nonsense(params: Kind, job: JobContext) -> object:
    return BAD_RESULTS[params.kind]


@rogue(result=int)
async def break_the_contract(params: Numbers, job: JobContext) -> object:
    return "not a number"


@rogue(max_attempts=2)
async def kill_the_process(params: Numbers, job: JobContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@rogue(timeout=0.5, max_attempts=2)
async def time_out(params: Numbers, job: JobContext) -> None:
    await asyncio.sleep(LONG)


@rogue(timeout=0.5)
def outlive_the_timeout(params: Numbers, job: BlockingContext) -> None:
    time.sleep(LONG)


@rogue(Kind)
async def leave_a_task_behind(params: Kind, job: JobContext) -> str:
    async def fail_later() -> None:
        await asyncio.sleep(0.05)
        raise BAD_ENDS[params.kind]

    LEFT_BEHIND.add(asyncio.create_task(fail_later()))
    return "done"


@rogue(Place)
async def compute(params: Place, job: JobContext) -> None:
    await job.in_process(in_child.compute, params.started)


@rogue(Place)
def compute_for_a_thread(params: Place, job: BlockingContext) -> None:
    job.in_process(in_child.compute, params.started)


@rogue(Place, timeout=1)
async def compute_too_long(params: Place, job: JobContext) -> None:
    await job.in_process(in_child.hold_the_lock, params.started)


@rogue(Kind)
async def crash_a_process(params: Kind, job: JobContext) -> None:
    await job.in_process(in_child.crash, params.kind)


if __name__ == "__main__":
    sys.exit(work(read_settings(WorkerSettings), load_job_types() | JOB_TYPES, load_handlers() + HANDLERS))
