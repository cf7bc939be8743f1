"""Operations on single jobs, their logs, output, files and webhooks, and on lists of jobs."""

import math
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Any, Unpack

from client import files, streaming
from client.errors import JobFailed, NotDoneInTime
from client.filters import JobFilters, as_query
from client.models.files import File
from client.models.jobs import Attempt, Job, JobPage, NewJob
from client.models.logs import LogLine, OutputChunk
from client.models.webhooks import Webhook
from client.transport import Transport, job_path, parse

MAX_HOLD = 60.0  # seconds: the server holds no response longer
POLL_PAUSE = 0.2  # seconds: no tight loop, should a server answer every wait at once
PAGE_SIZE = 100


class JobOperations:
    """Operations on jobs and their files.

    A job is named by its id or by any earlier `Job`, a file by its id or by a `File`.
    """

    _transport: Transport

    async def submit(
        self,
        type: str,  # noqa: A002 - the field of the API
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
        """Submit one job, however often the request has to be sent.

        Args:
            type: the job type.
            params: the params of that type; a `File` stands for its id.
            run_at: the earliest start, with a time zone.
            delay: seconds from now to the earliest start, in place of `run_at`.
            start_within: seconds after which the job fails, unless it has started.
            labels: short texts to find the job by.
            webhook: the URL that receives the record at the job's end.
            wait: seconds to wait for the job's end; then the job is returned, done or not.
            idempotency_key: submissions with the same key are one job; a random key unless given.
        """
        end = self._transport.now() + (wait or 0.0)
        body = NewJob(type, params, run_at, delay, start_within, labels, webhook).body()
        response = await self._transport.post("/jobs", body, idempotency_key, hold=min(wait or 0.0, MAX_HOLD))
        job = parse(response, Job.from_record)
        left = end - self._transport.now()
        return job if job.done or left <= 0 else await self._poll_until_done(job, left)

    async def submit_batch(self, jobs: Iterable[NewJob], *, idempotency_key: str | None = None) -> list[Job]:
        """Submit up to 1,000 jobs in one request: all of them, or none. The order stays."""
        body = {"jobs": [job.body() for job in jobs]}
        response = await self._transport.post("/jobs/batch", body, idempotency_key)
        return parse(response, JobPage.from_record).jobs

    async def get(self, job: Job | str) -> Job:
        """Get the job as it is now."""
        return await self._poll(job)

    async def wait(
        self, job: Job | str, timeout: float | None = None, *, raise_on_failure: bool = False
    ) -> Job:
        """Wait until the job is done.

        Args:
            job: the job, or its id.
            timeout: seconds to wait; without it, for ever.
            raise_on_failure: raise JobFailed unless the job is completed.

        Raises:
            NotDoneInTime: the job is not done by then; it goes on.
            JobFailed: with `raise_on_failure`, the job failed or was cancelled.
        """
        if isinstance(job, Job) and job.done:
            found = job
        else:
            found = await self._poll_until_done(job, math.inf if timeout is None else timeout)
        if not found.done:
            raise NotDoneInTime(found, timeout or 0.0)
        if raise_on_failure and found.state != "completed":
            raise JobFailed(found)
        return found

    async def result(self, job: Job | str, timeout: float | None = None) -> Any:
        """Wait for the job's result.

        Raises:
            NotDoneInTime: the job is not done after `timeout` seconds; it goes on.
            JobFailed: the job failed or was cancelled.
        """
        return (await self.wait(job, timeout, raise_on_failure=True)).result

    async def cancel(self, job: Job | str) -> Job:
        """Cancel the job. A running one ends soon after: then only `cancel_requested` is set at first.

        Raises:
            JobServerError: `job_already_finished`, the job is completed or failed.
        """
        return parse(await self._transport.delete(job_path(job)), Job.from_record)

    async def retry(self, job: Job | str, *, idempotency_key: str | None = None) -> Job:
        """Submit a finished job again, as a new job.

        Raises:
            JobServerError: `job_not_finished`, the job is not done.
        """
        response = await self._transport.post(job_path(job, "retry"), None, idempotency_key)
        return parse(response, Job.from_record)

    async def forget(self, job: Job | str) -> None:
        """Delete a finished job now: its record, log, output, artifacts and deliveries.

        The scope `admin` is needed. Later requests for the job raise JobExpired.

        Raises:
            JobServerError: `job_not_finished`, the job is not done.
            JobExpired: the record is deleted already.
        """
        await self._transport.delete(job_path(job, "record"))

    async def attempts(self, job: Job | str) -> list[Attempt]:
        """Get the attempts at the job so far, oldest first."""
        return parse(await self._transport.get(job_path(job, "attempts")), Attempt.from_list)

    async def iter_jobs(
        self, *, limit: int | None = None, **filters: Unpack[JobFilters]
    ) -> AsyncGenerator[Job, None]:
        """Yield jobs, newest first; each page is fetched when the iteration gets there.

        Args:
            limit: number of jobs at most.
            filters: filters of JobFilters, such as `state="failed"`; all jobs without one.
        """
        async with aclosing(self.iter_pages(limit=limit, **filters)) as pages:
            async for page in pages:
                for job in page.jobs:
                    yield job

    async def iter_pages(
        self, *, limit: int | None = None, **filters: Unpack[JobFilters]
    ) -> AsyncGenerator[JobPage, None]:
        """Yield the jobs of `iter_jobs` page by page; each page says whether jobs are missing in it.

        Args:
            limit: number of jobs at most, in all pages.
            filters: filters of JobFilters; all jobs without one.
        """
        query = {**as_query(filters), "fields": "params,result"}
        left = math.inf if limit is None else limit
        while left > 0:
            query["limit"] = str(min(left, PAGE_SIZE))
            page = parse(await self._transport.get("/jobs", query), JobPage.from_record)
            yield page
            left -= len(page.jobs)
            if not page.next_cursor:
                return
            query["cursor"] = page.next_cursor

    async def stream(self, job: Job | str) -> AsyncGenerator[Job, None]:
        """Yield the job as it is now and after each change, until it is done; a broken connection is resumed.

        Changes in quick succession may come as one.
        """
        async with aclosing(self.follow(job)) as items:
            async for item in items:
                if isinstance(item, Job):
                    yield item

    async def follow(self, job: Job | str) -> AsyncGenerator[Job | LogLine, None]:
        """Yield the changes of `stream`, and each line of the job's log before the change that it led to.

        Every line comes once, as far as the server still keeps it.
        """
        async with aclosing(self.watch(job)) as items:
            async for item in items:
                if not isinstance(item, OutputChunk):
                    yield item

    async def watch(self, job: Job | str) -> AsyncGenerator[Job | LogLine | OutputChunk, None]:
        """Yield the items of `follow`, and each chunk of the job's output as its handler emits it."""
        async with aclosing(streaming.follow(self._transport, job)) as items:
            async for item in items:
                yield item

    async def output(self, job: Job | str) -> AsyncGenerator[OutputChunk, None]:
        """Yield the job's output as its handler emits it, until the job is done; a broken stream is resumed.

        Every chunk of a run comes once, in order. A retry begins a new run, whose chunks begin with 1 again.
        """
        async with aclosing(self.watch(job)) as items:
            async for item in items:
                if isinstance(item, OutputChunk):
                    yield item

    async def logs(self, job: Job | str, after: int = 0) -> list[LogLine]:
        """Get the job's log so far, oldest first: its last 1,000 lines, or those after the line `after`."""
        query = {"after": str(after)} if after else None
        return parse(await self._transport.get(job_path(job, "logs"), query), LogLine.from_log)

    async def upload(
        self, source: files.Source, name: str | None = None, content_type: str | None = None
    ) -> File:
        """Upload a file for the params of jobs. A broken upload begins again, except from a pipe.

        Args:
            source: a path, a file that is open for reading bytes, or bytes.
            name: the file's name; its name on disk unless given.
            content_type: the media type; guessed from the name unless given.

        Raises:
            OSError: the source can't be read.
        """
        return await files.upload(self._transport, source, name, content_type)

    async def file(self, file: File | str) -> File:
        """Get the file's record as it is now.

        Raises:
            NotFound: there is no such file, or no more.
        """
        return parse(await self._transport.get(files.file_path(file)), File.from_record)

    async def delete_file(self, file: File | str) -> None:
        """Delete the file.

        Raises:
            NotFound: there is no such file, or no more.
            JobServerError: `file_in_use`, a job that is not done needs the file.
        """
        await self._transport.delete(files.file_path(file))

    async def download(self, job: Job | str, name: str, to: str | os.PathLike[str] = ".") -> Path:
        """Save an artifact of the job, whole and checked, or not at all. A broken download is resumed.

        Args:
            job: the job, or its id.
            name: the artifact's name.
            to: a path, or a folder for a file with the artifact's name.

        Raises:
            NotFound: the job has no such artifact.
            DamagedDownload: the SHA-256 is not the record's.
            OSError: the file can't be written.
        """
        return await files.download(self._transport, job, name, to)

    async def read_artifact(self, job: Job | str, name: str) -> bytes:
        """Read an artifact of the job into memory.

        Raises:
            NotFound: the job has no such artifact.
            DamagedDownload: the SHA-256 is not the record's.
        """
        return await files.read_artifact(self._transport, job, name)

    async def webhook(self, job: Job | str) -> Webhook:
        """Get the job's webhook, with its deliveries.

        Raises:
            NotFound: `webhook_not_found`, the job has no webhook.
        """
        return parse(await self._transport.get(job_path(job, "webhook")), Webhook.from_record)

    async def redeliver(self, job: Job | str) -> Webhook:
        """Deliver the job's webhook now: once more, or without waiting for the next attempt.

        Raises:
            NotFound: `webhook_not_found`, the job has no webhook.
            JobServerError: `job_not_finished`, the job is not done.
        """
        response = await self._transport.post(job_path(job, "webhook", "redeliver"), None, None)
        return parse(response, Webhook.from_record)

    async def _poll_until_done(self, job: Job | str, seconds: float) -> Job:
        """Poll until the job is done, or for so many seconds; returns the job either way."""
        end = self._transport.now() + seconds
        while True:
            left = max(0.0, end - self._transport.now())
            found = await self._poll(job, hold=min(left, MAX_HOLD), within=left)
            left = end - self._transport.now()
            if found.done or left <= 0:
                return found
            await self._transport.sleep(min(left, POLL_PAUSE))

    async def _poll(self, job: Job | str, *, hold: float = 0.0, within: float = math.inf) -> Job:
        response = await self._transport.get(job_path(job), hold=hold, within=within)
        return parse(response, Job.from_record)
