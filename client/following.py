"""A job as it goes on: its changes, and what it writes down."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx

from client.answers import read, read_job, read_log
from client.errors import ServerUnreachable
from client.events import EventReader
from client.job import Job
from client.records import LogLine
from client.sending import Sender, job_path

HEARTBEAT = 15.0  # seconds: no stream is silent longer
LOOK_AGAIN = 0.2  # seconds: keeps a server that cuts waits and streams short from being asked in a tight loop


class Following(Sender):
    """The calls that follow a job."""

    async def stream(self, job: Job | str) -> AsyncGenerator[Job, None]:
        """The job as it is now and after each change, until it is done; a broken connection is made anew.

        Changes that follow fast upon each other may come as one.
        """
        async with aclosing(self.follow(job)) as news:
            async for item in news:
                if isinstance(item, Job):
                    yield item

    async def follow(self, job: Job | str) -> AsyncGenerator[Job | LogLine, None]:
        """What `stream` yields, and each line of the job's log, which comes before the change that it led to.

        No line is left out while the server keeps it, and none comes twice.
        """
        last_id, seen = "", {Job: -1, LogLine: 0}
        while True:
            answer = await self._send(self._listen(job, last_id), stream=True)
            if answer.status_code == httpx.codes.NO_CONTENT:  # an earlier connection brought the end
                await self._wire.read(answer)
                return
            reader = EventReader(last_id)
            async with aclosing(self._heard(answer, reader)) as news:
                async for item in news:
                    number = item.version if isinstance(item, Job) else item.seq
                    if number > seen[type(item)]:
                        seen[type(item)] = number
                        yield item
                    if isinstance(item, Job) and item.done:
                        return
            last_id = reader.last_id
            await self._wire.sleep(LOOK_AGAIN)

    async def logs(self, job: Job | str, after: int = 0) -> list[LogLine]:
        """What the job wrote down so far, oldest first: its last 1,000 lines at most.

        Args:
            job: the job, or its id.
            after: only lines with a higher `seq`.
        """
        query = {"after": str(after)} if after else None
        return read_log(await self._get(f"{job_path(job)}/logs", query))

    def _listen(self, job: Job | str, last_id: str) -> httpx.Request:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        return self._wire.request("GET", f"{job_path(job)}/events", headers=headers, hold=2 * HEARTBEAT)

    async def _heard(
        self, answer: httpx.Response, reader: EventReader
    ) -> AsyncGenerator[Job | LogLine, None]:
        """Events of one SSE connection, until it closes; those of an unknown kind are left out."""
        try:
            async with aclosing(self._wire.chunks(answer)) as chunks:
                async for chunk in chunks:
                    for event in reader.feed(chunk):
                        if event.kind == "message":
                            yield read_job(event.data)
                        elif event.kind == "log":
                            yield read(event.data, LogLine.from_record)
        except ServerUnreachable:
            return
