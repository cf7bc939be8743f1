"""Every operation of the client, written once; `client.faces` shows them to callers that block or await."""

import math
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from client.answers import read_job, read_jobs, refusal
from client.errors import JobFailed, JobServerError, NotDoneInTime, ServerUnreachable
from client.events import EventReader
from client.job import Job, NewJob
from client.retries import IDEMPOTENCY_KEY, Retries, repeatable
from client.wire import Wire

LONGEST_HOLD = 60.0  # seconds: the server holds no answer longer
HEARTBEAT = 15.0  # seconds: no stream is silent longer
LOOK_AGAIN = 0.2  # seconds: keeps a server that cuts waits and streams short from being asked in a tight loop
PAGE = 100


class Calls:
    """What a client can ask of the server.

    Jobs are named by their id or by any earlier `Job`. Every call raises JobServerError when the server
    refuses, and ServerUnreachable when it can't be reached; both after the retries that make sense.
    """

    def __init__(self, wire: Wire, retries: Retries) -> None:
        self._wire = wire
        self._retries = retries

    async def submit(
        self,
        type: str,  # noqa: A002 - it is called so everywhere
        params: Mapping[str, Any],
        *,
        run_at: datetime | None = None,
        delay: float | None = None,
        start_within: float | None = None,
        labels: Mapping[str, str] | None = None,
        webhook: str | None = None,
        wait: float | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a job, once, however often the request has to be sent.

        Args:
            type: the job type.
            params: what that type needs.
            run_at: when to start it, with a time zone.
            delay: seconds from now in which to start it, in place of `run_at`.
            start_within: seconds in which it must have started.
            labels: short texts to find it by.
            webhook: the address that is to be told of its end.
            wait: seconds to wait for its end; it is returned as it is then, done or not.
            idempotency_key: submissions with the same key are one job; a new key unless given.
        """
        end = self._wire.now() + (wait or 0.0)
        body = NewJob(type, params, run_at, delay, start_within, labels, webhook).body()
        job = await self._post_job("/jobs", body, idempotency_key, hold=min(wait or 0.0, LONGEST_HOLD))
        left = end - self._wire.now()
        return job if job.done or left <= 0 else await self._look_until_done(job.job_id, left)

    async def submit_batch(self, jobs: Iterable[NewJob], *, idempotency_key: str | None = None) -> list[Job]:
        """Submit up to 1,000 jobs in one request: all of them, or none. They come back in their order."""
        body = {"jobs": [job.body() for job in jobs]}
        answer = await self._post("/jobs/batch", body, idempotency_key)
        return read_jobs(answer.content)[0]

    async def get(self, job: Job | str) -> Job:
        """The job as it is now."""
        return await self._look(_id(job))

    async def wait(
        self, job: Job | str, timeout: float | None = None, *, raise_on_failure: bool = False
    ) -> Job:
        """The job once it is done.

        Args:
            job: the job, or its id.
            timeout: seconds to wait; without it, for ever.
            raise_on_failure: raise JobFailed unless the job is completed.

        Raises:
            NotDoneInTime: the job is not done by then; it goes on.
            JobFailed: it was asked for, and the job failed or was cancelled.
        """
        if isinstance(job, Job) and job.done:
            found = job
        else:
            found = await self._look_until_done(_id(job), math.inf if timeout is None else timeout)
        if not found.done:
            raise NotDoneInTime(found, timeout or 0.0)
        if raise_on_failure and found.state != "completed":
            raise JobFailed(found)
        return found

    async def result(self, job: Job | str, timeout: float | None = None) -> Any:
        """What the job returned, once it is completed.

        Raises:
            NotDoneInTime: the job is not done after `timeout` seconds; it goes on.
            JobFailed: the job failed or was cancelled.
        """
        return (await self.wait(job, timeout, raise_on_failure=True)).result

    async def stream(self, job: Job | str) -> AsyncGenerator[Job, None]:
        """The job as it is now and after each change, until it is done; a broken connection is made anew.

        Changes that follow fast upon each other may come as one.
        """
        reader, seen = EventReader(), -1
        while True:
            answer = await self._send(self._listen(job, reader.last_id), stream=True)
            if answer.status_code == httpx.codes.NO_CONTENT:  # an earlier connection brought the end
                await self._wire.read(answer)
                return
            reader = EventReader(reader.last_id)
            async with aclosing(self._heard(answer, reader)) as changes:
                async for change in changes:
                    if change.version > seen:
                        seen = change.version
                        yield change
                    if change.done:
                        return
            await self._wire.sleep(LOOK_AGAIN)

    async def cancel(self, job: Job | str) -> Job:
        """Cancel a job. A running one ends soon after, so it may come back as `cancel_requested` only.

        Raises:
            JobServerError: `job_already_finished`, it is completed or failed.
        """
        answer = await self._send(self._wire.request("DELETE", _path(job)))
        return read_job(answer.content)

    async def retry(self, job: Job | str, *, idempotency_key: str | None = None) -> Job:
        """A new job of the same type and params as one that is done.

        Raises:
            JobServerError: `job_not_finished`, it is not done.
        """
        return await self._post_job(f"{_path(job)}/retry", None, idempotency_key)

    async def iter_jobs(
        self,
        *,
        state: str | None = None,
        type: str | None = None,  # noqa: A002 - it is called so everywhere
        label: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> AsyncGenerator[Job, None]:
        """The jobs there are, newest first; page after page is fetched as the iteration goes on.

        Args:
            state: only those in this state.
            type: only those of this type.
            label: only those that have all of these labels.
            limit: at most so many.
        """
        labels = [f"{name}={value}" for name, value in (label or {}).items()]
        wanted = {"state": state, "type": type, "label": labels}
        query = {name: value for name, value in wanted.items() if value}
        left = math.inf if limit is None else limit
        while left > 0:
            query["limit"] = str(min(left, PAGE))
            answer = await self._send(self._wire.request("GET", "/jobs", params=query))
            jobs, cursor = read_jobs(answer.content)
            for job in jobs:
                yield job
            left -= len(jobs)
            if not cursor:
                return
            query["cursor"] = cursor

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()

    async def _look_until_done(self, job_id: str, seconds: float) -> Job:
        """The job when it is done, or as it is after that many seconds."""
        end = self._wire.now() + seconds
        while True:
            left = max(0.0, end - self._wire.now())
            job = await self._look(job_id, hold=min(left, LONGEST_HOLD), within=left)
            left = end - self._wire.now()
            if job.done or left <= 0:
                return job
            await self._wire.sleep(min(left, LOOK_AGAIN))

    async def _look(self, job_id: str, *, hold: float = 0.0, within: float = math.inf) -> Job:
        request = self._wire.request("GET", _path(job_id), params=_wait(hold), hold=hold)
        return read_job((await self._send(request, within=within)).content)

    async def _post_job(self, path: str, body: Any, key: str | None, *, hold: float = 0.0) -> Job:
        return read_job((await self._post(path, body, key, hold=hold)).content)

    async def _post(self, path: str, body: Any, key: str | None, *, hold: float = 0.0) -> httpx.Response:
        headers = {IDEMPOTENCY_KEY: key or str(uuid4())}
        request = self._wire.request("POST", path, params=_wait(hold), json=body, headers=headers, hold=hold)
        return await self._send(request)

    def _listen(self, job: Job | str, last_id: str) -> httpx.Request:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        return self._wire.request("GET", f"{_path(job)}/events", headers=headers, hold=2 * HEARTBEAT)

    async def _heard(self, answer: httpx.Response, reader: EventReader) -> AsyncGenerator[Job, None]:
        """The records that one connection brings, until it ends or breaks."""
        try:
            async with aclosing(self._wire.chunks(answer)) as chunks:
                async for chunk in chunks:
                    for event in reader.feed(chunk):
                        yield read_job(event.data)
        except ServerUnreachable:
            return

    async def _send(
        self, request: httpx.Request, *, stream: bool = False, within: float = math.inf
    ) -> httpx.Response:
        """The server's answer of success, asked for again while that is safe and makes sense.

        Raises:
            JobServerError: the server refuses, or it can't be reached, for good or for `within` seconds.
        """
        start, repetition = self._wire.now(), 0
        while True:
            try:
                return await self._send_once(request, stream=stream)
            except JobServerError as error:
                spent = self._wire.now() - start
                pause = self._retries.pause(error, repetition, spent) if repeatable(request) else None
                if pause is None or spent + pause > within:
                    raise
            await self._wire.sleep(pause)
            repetition += 1

    async def _send_once(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        answer = await self._wire.send(request, stream=stream)
        if answer.is_success:
            return answer
        if stream:
            await self._wire.read(answer)
        raise refusal(answer)


def _id(job: Job | str) -> str:
    return job if isinstance(job, str) else job.job_id


def _path(job: Job | str) -> str:
    return f"/jobs/{quote(_id(job), safe='')}"


def _wait(hold: float) -> dict[str, str]:
    return {"wait": f"{hold:.3f}"} if hold else {}
