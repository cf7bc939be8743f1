"""Every operation of the client, written once; `client.faces` shows them to callers that block or await."""

import math
from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import datetime
from typing import Any

from client.answers import read, read_job, read_jobs
from client.deliveries import Webhook
from client.errors import JobFailed, NotDoneInTime
from client.file_calls import FileCalls
from client.following import LOOK_AGAIN, Following
from client.job import Job, NewJob
from client.sending import job_id, job_path, waiting

LONGEST_HOLD = 60.0  # seconds: the server holds no answer longer
PAGE = 100


class Calls(Following, FileCalls):
    """What a client can ask of the server.

    Jobs are named by their id or by any earlier `Job`, and files likewise. Every call raises JobServerError
    when the server refuses, and ServerUnreachable when it can't be reached; both after the retries that make
    sense.
    """

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
            params: what that type needs; a `File` stands for its id.
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
        return read_jobs(await self._post("/jobs/batch", body, idempotency_key))[0]

    async def get(self, job: Job | str) -> Job:
        """The job as it is now."""
        return await self._look(job_id(job))

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
            found = await self._look_until_done(job_id(job), math.inf if timeout is None else timeout)
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

    async def cancel(self, job: Job | str) -> Job:
        """Cancel a job. A running one ends soon after, so it may come back as `cancel_requested` only.

        Raises:
            JobServerError: `job_already_finished`, it is completed or failed.
        """
        return read_job(await self._delete(job_path(job)))

    async def retry(self, job: Job | str, *, idempotency_key: str | None = None) -> Job:
        """A new job of the same type and params as one that is done.

        Raises:
            JobServerError: `job_not_finished`, it is not done.
        """
        return await self._post_job(f"{job_path(job)}/retry", None, idempotency_key)

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
        wanted = {"state": state, "type": type, "label": labels, "fields": "params,result"}
        query = {name: value for name, value in wanted.items() if value}
        left = math.inf if limit is None else limit
        while left > 0:
            query["limit"] = str(min(left, PAGE))
            jobs, cursor = read_jobs(await self._get("/jobs", query))
            for job in jobs:
                yield job
            left -= len(jobs)
            if not cursor:
                return
            query["cursor"] = cursor

    async def webhook(self, job: Job | str) -> Webhook:
        """Who is told of the job's end, and how that went so far.

        Raises:
            NotFound: `webhook_not_found`, nobody is told.
        """
        return read(await self._get(f"{job_path(job)}/webhook"), Webhook.from_record)

    async def redeliver(self, job: Job | str) -> Webhook:
        """Tell the receiver of the job's end now: again, or without waiting for the next attempt.

        Raises:
            NotFound: `webhook_not_found`, nobody is told.
            JobServerError: `job_not_finished`, there is nothing to tell yet.
        """
        return read(await self._post(f"{job_path(job)}/webhook/redeliver", None, None), Webhook.from_record)

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
        return read_job(await self._get(job_path(job_id), waiting(hold), hold=hold, within=within))

    async def _post_job(self, path: str, body: Any, key: str | None, *, hold: float = 0.0) -> Job:
        return read_job(await self._post(path, body, key, hold=hold))
