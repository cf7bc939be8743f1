"""ChildCounts: child processes that run, that have failed, and that the worker has replaced."""

import asyncio
from contextlib import suppress
from pathlib import Path

from shared.errors import RetryableError
from tests.unit.worker import in_child
from tests.unit.worker.pools import a_pool, begin, until
from worker.processes.child_counts import ChildCounts


async def test_a_crash_counts_as_failed_and_a_cancelled_call_as_replaced(tmp_path: Path):
    async with a_pool() as pool:
        await until(lambda: pool.counts == ChildCounts(alive=1))
        with suppress(RetryableError):
            await pool.run(in_child.crash, "SIGKILL")
        await until(lambda: pool.counts == ChildCounts(alive=1, failed=1))
        call, _ = await begin(pool, in_child.compute, tmp_path / "started")
        call.cancel()
        await asyncio.wait([call])
        await until(lambda: pool.counts == ChildCounts(alive=1, failed=1, replaced=1))


async def test_a_process_that_has_run_enough_calls_counts_as_replaced():
    async with a_pool(max_calls=1) as pool:
        await pool.run(in_child.pid)
        await until(lambda: pool.counts == ChildCounts(alive=1, replaced=1))


def test_the_counts_of_several_hosts_add_up():
    assert ChildCounts.sum_of([ChildCounts(1, 2, 3), ChildCounts(1, 0, 4)]) == ChildCounts(2, 2, 7)
    assert ChildCounts.sum_of([]) == ChildCounts()
