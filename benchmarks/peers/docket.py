"""docket (pydocket): uvloop, no kept results, and a check for new jobs every 10 ms instead of every 250."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import uvloop
from docket import Docket, Worker  # type: ignore[import-not-found]

from benchmarks.peers import REDIS_URL, Submit, body, main


def make_docket() -> Any:
    # The client of Redis allows 100 connections by default; the submissions made at once need more.
    url = f"{REDIS_URL}?max_connections=1000"
    return Docket(name="benchmark", url=url, execution_ttl=timedelta(0))


async def noop(sent: float) -> None:
    await body(sent)


@asynccontextmanager
async def submitter() -> AsyncIterator[Submit]:
    async with make_docket() as docket:

        def submit(sent: float) -> Awaitable[object]:
            found: Awaitable[object] = docket.add(noop)(sent)  # one `add` is one key
            return found

        yield submit


async def serve(slots: int) -> None:
    often = timedelta(milliseconds=10)
    async with make_docket() as docket:
        docket.register(noop)
        async with Worker(docket, concurrency=slots, minimum_check_interval=often) as worker:
            await worker.run_forever()


def work(slots: int) -> None:
    uvloop.run(serve(slots))


if __name__ == "__main__":
    main(submitter, work)
