"""Operations on the whole service: queues, workers, figures and events."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Unpack
from urllib.parse import quote

from client import streaming
from client.filters import JobFilters, as_query
from client.models.bulk import Drained
from client.models.figures import Figures, ServiceEvent
from client.models.queues import QueueStatus, WorkerList
from client.transport import Transport, parse


class QueueOperations:
    """Operations on queues and workers. Looking needs the scope `read`, changes need `admin`."""

    _transport: Transport

    async def queues(self) -> list[QueueStatus]:
        """Get all queues: those of job types and of live workers, paused ones, and those that hold jobs."""
        return parse(await self._transport.get("/queues"), QueueStatus.from_list)

    async def queue(self, name: str) -> QueueStatus:
        """Get a queue; zeros for one that nobody knows."""
        return parse(await self._transport.get(queue_path(name)), QueueStatus.from_record)

    async def pause(self, name: str, reason: str = "") -> QueueStatus:
        """Pause a queue: no worker claims from it any more. Running jobs go on, and new jobs wait.

        Args:
            name: the queue.
            reason: shown with the queue, with the caller and the time.
        """
        body = {"reason": reason} if reason else None
        return parse(
            await self._transport.post(queue_path(name, "pause"), body, None), QueueStatus.from_record
        )

    async def resume(self, name: str) -> QueueStatus:
        """Resume a paused queue; no change if the queue is not paused."""
        return parse(
            await self._transport.post(queue_path(name, "resume"), None, None), QueueStatus.from_record
        )

    async def drain(self, name: str) -> Drained:
        """Cancel all jobs that wait in a queue, request after request. Running jobs go on.

        Jobs that are submitted meanwhile are cancelled too. Pause what submits them first.

        Raises:
            JobServerError: with `missing_shards`, at once; its message has the number of jobs that the last
                request cancelled on the other shards. Call again for the rest once all shards answer.
        """
        cancelled = 0
        while True:
            body = await self._transport.post(queue_path(name, "drain"), None, None, counts=True)
            part = parse(body, Drained.from_record)
            cancelled += part.cancelled
            if not part.remaining or not part.cancelled:  # the rest can't be cancelled: no endless loop
                return Drained(cancelled, part.remaining)

    async def workers(self) -> WorkerList:
        """Get all live workers, with the jobs that they run."""
        return parse(await self._transport.get("/workers"), WorkerList.from_record)

    async def figures(self) -> Figures:
        """Get the figures of the service: jobs by state, the last 15 minutes, and each job type."""
        return parse(await self._transport.get("/figures"), Figures.from_record)

    async def events(self, **filters: Unpack[JobFilters]) -> AsyncGenerator[ServiceEvent, None]:
        """Yield events of the service without end; a broken connection is opened again.

        A `Snapshot` comes once a second, a `Job` after each change of a job that matches the filters. Under
        load some changes are left out, and `Sampled` tells how many. `Unavailable` means that Redis does not
        answer. Changes during a broken connection are missed; the next snapshot is whole again.

        Args:
            filters: filters of JobFilters for the jobs; all jobs without one.
        """
        async with aclosing(streaming.service_events(self._transport, as_query(filters))) as events:
            async for event in events:
                yield event


def queue_path(name: str, *parts: str) -> str:
    """Path of a queue, or of something to do with it."""
    return "/".join(["/queues", *(quote(part, safe="") for part in (name, *parts))])
