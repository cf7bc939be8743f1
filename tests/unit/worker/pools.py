"""Pools of processes for a test, and what can be seen of their processes from outside."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from worker.processes.pool import Processes

PATIENCE = 60
SOON = 10.0  # seconds in which a process that is to end has ended, even on a busy machine


@asynccontextmanager
async def a_pool(
    size: int = 1, *, max_calls: int = 1000, max_rss: int = 1 << 40, max_memory: int = 0
) -> AsyncIterator[Processes]:
    """A pool that is open within the block."""
    pool = Processes(size, max_calls=max_calls, max_rss=max_rss, max_memory=max_memory)
    pool.start()
    try:
        yield pool
    finally:
        await pool.close()


async def until(condition: Callable[[], object], *, seconds: float = PATIENCE) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def lives(process: int) -> bool:
    """Whether a process is there, and more than a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def children(of: int | str = "self") -> set[int]:
    """The processes that a process has started, zombies included."""
    lists = [(task / "children").read_text() for task in Path(f"/proc/{of}/task").iterdir()]
    return {int(process) for listed in lists for process in listed.split()}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def process_in(started: Path) -> int:
    """The process that has told of itself in a file."""
    return int(started.read_text())


async def begin(
    pool: Processes, function: Callable[..., Any], started: Path
) -> tuple[asyncio.Task[Any], int]:
    """A call that computes for ever, and the process that it keeps busy."""
    call = asyncio.create_task(pool.run(function, str(started)))
    await until(started.exists)
    return call, process_in(started)
