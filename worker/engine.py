"""JobWorker: arq's worker with its poll loop replaced by batches, leases and a wake-up call."""

import asyncio
import gc
import os
import random
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from secrets import token_hex
from signal import Signals
from typing import Any, cast

from arq.typing import WorkerCoroutine
from arq.worker import Worker, func

from shared.errors import QueueUnavailable
from shared.logging import get_log, log_context
from shared.store import keys
from shared.store.client import REDIS_GONE, connect, messages
from shared.store.job_store import (
    Claim,
    Finished,
    JobStore,
    Outcome,
    OutcomeKind,
    Presence,
    Retention,
    Step,
)
from worker.context import JobContext
from worker.execute import RunningJob, StopReason, execute, judge, stopped
from worker.heartbeat import Heartbeat
from worker.registry import Handler
from worker.settings import WorkerSettings

TICK_SECONDS = 0.1
TOKEN_SECONDS = 5.0
REPORT_SECONDS = 0.1
ABANDON_SECONDS = 5.0  # for a handler to end after it was told to
HAND_BACK_SECONDS = 0.3  # the same, when the worker itself has to go
FLUSH_SECONDS = 0.3
LEAVE_SECONDS = 0.2
LARGEST_BATCH = 500
GARBAGE_THRESHOLD = 10_000  # objects; a job makes a few dozen, and hardly a cycle
ENDED = {kind: f"job {kind}" for kind in OutcomeKind}

log = get_log(__name__)


class JobWorker(Worker):
    """Claims jobs, performs them, and tells Redis how they ended.

    Five tasks and a thread share the work:

    - the pump sends finished attempts to Redis and brings new claims, in one call;
    - the waker, when there is nothing to do, waits for the token of a new job;
    - the listener hears which jobs are to be cancelled;
    - the reporter writes progress;
    - the deadlines end attempts that take too long;
    - the heartbeat's thread renews the leases.

    Args:
        settings: the worker's settings.
        handlers: the handlers by job type.
    """

    def __init__(self, settings: WorkerSettings, handlers: Mapping[str, Handler]) -> None:
        url = settings.redis_url.get_secret_value()
        functions = [func(cast(WorkerCoroutine, h.perform), name=name) for name, h in handlers.items()]
        pool = connect(url, connections=1, dedicated=True)
        super().__init__(functions, redis_pool=pool, max_jobs=settings.worker_slots, keep_result=0)
        retention = Retention(settings.retain_completed, settings.retain_failed, settings.retain_cancelled)
        self.presence = Presence(
            worker_id=token_hex(6),
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=settings.worker_queues,
            slots=settings.worker_slots,
            started_at=time.time(),
        )
        self.exit_code = 0
        self.running: dict[str, RunningJob] = {}  # by lease
        self.ticked_at = time.monotonic()
        self._settings = settings
        self._handlers = handlers
        self._max_result_bytes = settings.worker_max_result_bytes
        self._store = JobStore(self.pool, retention)
        self._idle_connection = connect(url, read_timeout=TOKEN_SECONDS * 2, connections=3)
        self._idle_store = JobStore(self._idle_connection, retention)
        self._heartbeat = Heartbeat(url, self.presence, self, lease=settings.worker_lease_seconds)
        self._finished: list[Finished] = []
        self._abandoned: set[asyncio.Task[None]] = set()
        self._steps = 0
        self._claiming = True
        self._connected = True
        self._work = asyncio.Event()  # for the pump: something has finished, or may be due
        self._idle = asyncio.Event()  # for the waker: the pump rests, and slots are free
        self._reported = asyncio.Event()  # for the reporter
        self._moved = asyncio.Event()  # for the shutdown: a job has ended, or a step is done
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()

    # -- the life of the process

    def run(self) -> None:
        """Work until a signal comes. A task that a handler left behind may raise what ends an event loop."""
        self.main_task = self.loop.create_task(self.main())
        while not self.main_task.done():
            try:
                self.loop.run_until_complete(self.main_task)
            except (SystemExit, KeyboardInterrupt) as error:
                log.error("a handler's task tried to end the process", error=repr(error))
        self.loop.run_until_complete(self.close())

    async def main(self) -> None:
        """Work until a signal comes, then leave without losing anything."""
        log.info("worker started", worker_id=self.presence.worker_id, queues=self.presence.queues)
        services = [
            self.loop.create_task(service())
            for service in (self._pump, self._waker, self._listener, self._reporter, self._deadlines)
        ]
        stop = self.loop.create_task(self._stopping.wait())
        self._heartbeat.start()
        gc.collect()
        gc.freeze()  # what lives for ever need not be walked again
        gc.set_threshold(GARBAGE_THRESHOLD)
        try:
            await asyncio.wait([*services, stop], return_when=asyncio.FIRST_COMPLETED)
            await self._drain()
        finally:
            self._heartbeat.stop()
            await self._end([*services, stop])
        await self._leave()

    def handle_sig(self, signum: Signals) -> None:
        """The first signal begins the shutdown; the second hands running jobs back at once."""
        if self._stopping.is_set():
            self._hurry.set()
        log.info("worker stops", signal=Signals(signum).name, running=len(self.running))
        self._stopping.set()
        self._moved.set()

    async def close(self) -> None:
        await self._idle_connection.aclose(close_connection_pool=True)
        await self.pool.aclose(close_connection_pool=True)

    async def _drain(self) -> None:
        """Claim nothing more; let jobs finish within the grace; hand the rest back; flush."""
        self._claiming = False
        grace = self._settings.worker_grace_seconds
        await self._until(lambda: not self.running or self._hurry.is_set(), grace)
        for job in list(self.running.values()):
            self._stop(job, StopReason.SHUTDOWN)
        await self._until(lambda: not self.running, HAND_BACK_SECONDS)
        for job in list(self.running.values()):
            self._abandon(job)
        self._work.set()
        if not await self._until(lambda: not self._finished, FLUSH_SECONDS):
            log.error("outcomes could not be written; their leases will run out", jobs=len(self._finished))
            self.exit_code = 1

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition on what the worker holds; False if the time was over first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not condition():
                    self._moved.clear()
                    await self._moved.wait()
        return condition()

    async def _end(self, services: list[asyncio.Task[Any]]) -> None:
        running = set(services)
        while running:  # again and again, because a library may swallow a cancellation
            for service in running:
                service.cancel()
            _, running = await asyncio.wait(running, timeout=0.1)
        for service in services:
            if not service.cancelled() and (error := service.exception()):
                log.critical("a part of the worker failed; the process ends", exc_info=error)
                self.exit_code = 1

    async def _leave(self) -> None:
        with suppress(QueueUnavailable, TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._store.leave(self.presence)
        log.info("worker ended", worker_id=self.presence.worker_id)

    # -- the pump, and what wakes it

    @property
    def free_slots(self) -> int:
        return self._settings.worker_slots - len(self.running) if self._claiming else 0

    async def _pump(self) -> None:
        """While something has finished or may be due: one step. Otherwise rest."""
        more_due, wait = True, 0.0
        while True:
            if not self._finished and not (more_due and self.free_slots > 0):
                await self._rest(wait)
            self._work.clear()  # before the step: what comes after it asks for another one
            finished = self._finished[:LARGEST_BATCH]
            slots = self.free_slots
            step = await self._step(finished, slots)
            del self._finished[: len(finished)]
            self._moved.set()
            self._log_step(finished, step)
            for claim in step.claims:
                self._start(claim)
            more_due = len(step.claims) == slots
            beat = self._settings.worker_lease_seconds / 3
            wait = beat if step.wait is None else min(step.wait, beat)

    async def _rest(self, seconds: float) -> None:
        if self.free_slots > 0:
            self._idle.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._work.wait()
        self._idle.clear()

    async def _step(self, finished: list[Finished], slots: int) -> Step:
        """One step, repeated until Redis has answered."""
        self._steps += 1
        pause = 0.05
        while True:
            try:
                step = await self._store.step(
                    self.presence.worker_id,
                    self._steps,
                    self.presence.queues,
                    finished,
                    slots=slots,
                    lease=self._settings.worker_lease_seconds,
                )
            except QueueUnavailable as error:
                if self._connected:
                    log.warning("Redis is away; running jobs go on", reason=error.message)
                self._connected = False
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, 1.0)
            else:
                if not self._connected:
                    log.info("Redis is back")
                self._connected = True
                return step

    async def _waker(self) -> None:
        """Wait for the token of a new job, but only while the pump rests and slots are free."""
        while True:
            await self._idle.wait()
            try:
                queue = await self._idle_store.wait_for_token(self.presence.queues, TOKEN_SECONDS)
                if queue is None:
                    continue
                if self.free_slots > 0:
                    self._work.set()
                else:
                    await self._idle_store.return_token(queue)
                    self._idle.clear()
            except QueueUnavailable:
                self._work.set()  # the pump finds out, and says so
                await asyncio.sleep(random.uniform(0.2, 0.5))

    async def _listener(self) -> None:
        """Hear which jobs are to be cancelled. What is missed while Redis is away, the heartbeat brings."""
        while True:
            with suppress(*REDIS_GONE):
                async for job_id in messages(self._idle_connection, keys.CANCEL):
                    self._cancel({job_id.decode()})
            await asyncio.sleep(random.uniform(0.2, 0.5))

    async def _reporter(self) -> None:
        """Write the progress of all jobs together, ten times a second at most."""
        while True:
            await self._reported.wait()
            self._reported.clear()
            jobs = [job for job in self.running.values() if job.context.unsent]
            for job in jobs:
                job.context.unsent = False
            with suppress(QueueUnavailable):
                self._cancel(await self._idle_store.report([(job.claim, job.context.latest) for job in jobs]))
            await asyncio.sleep(REPORT_SECONDS)

    async def _deadlines(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self.ticked_at = now = time.monotonic()
            for job in list(self.running.values()):
                if now > job.stopped_at + ABANDON_SECONDS:
                    self._abandon(job)
                elif now > job.deadline:
                    self._stop(job, StopReason.TIMEOUT)

    # -- one job

    def _start(self, claim: Claim) -> None:
        context = JobContext.of(claim, self._announce)
        job = RunningJob(claim, context, started_at=time.monotonic())
        self.running[claim.lease] = job
        job.task = self.loop.create_task(self._run(job))

    async def _run(self, job: RunningJob) -> None:
        log_context.set(job.log_fields)
        try:
            outcome = await execute(job, self._handlers, max_result_bytes=self._max_result_bytes)
        except GeneratorExit as error:  # the one exception that passes by what it is thrown through
            outcome = judge(job, error)
        self._settle(job, outcome)

    def _settle(self, job: RunningJob, outcome: Outcome | None) -> None:
        """Free the job's slot and put its outcome on the way to Redis."""
        if self.running.pop(job.claim.lease, None) is None:
            return  # it was abandoned, and has its outcome
        duration = round(time.monotonic() - job.started_at, 4)
        if outcome is None:
            log.warning("lease lost; the attempt is discarded", duration=duration)
        else:
            log.info(ENDED[outcome.kind], duration=duration)
            self._finished.append(Finished(job.claim, outcome, job.context.latest))
        self._work.set()
        self._moved.set()

    def _stop(self, job: RunningJob, reason: StopReason) -> None:
        """Tell the handler to end; the first reason counts."""
        if job.stop is not None or job.task is None:
            return
        job.stop, job.stopped_at = reason, time.monotonic()
        job.context.cancel_requested = True
        self.loop.call_soon(job.task.cancel)  # after its first step, so that it can settle

    def _abandon(self, job: RunningJob) -> None:
        """Settle a job whose handler does not end; what it still does no longer counts."""
        if job.task is not None:
            self._abandoned.add(job.task)
            job.task.add_done_callback(self._abandoned.discard)
        token = log_context.set(job.log_fields)
        log.warning("the handler does not end; it is abandoned")
        self._settle(job, stopped(job))
        log_context.reset(token)

    def _cancel(self, job_ids: set[str]) -> None:
        for job in list(self.running.values()):
            if job.claim.job_id in job_ids:
                self._stop(job, StopReason.CANCELLED)

    def _announce(self) -> None:
        self.loop.call_soon_threadsafe(self._reported.set)

    def _log_step(self, finished: list[Finished], step: Step) -> None:
        for done, accepted in zip(finished, step.accepted, strict=True):
            if not accepted:
                log.warning(
                    "outcome refused: the lease was lost",
                    job_id=done.claim.job_id,
                    attempt=done.claim.attempt,
                )
        for job_id in step.recovered:
            log.warning("recovered a job whose worker was lost", job_id=job_id)

    # -- called from the heartbeat's thread

    def leases(self) -> list[Claim]:
        """The claims to renew: not those whose handler should have ended long ago."""
        longest = time.monotonic() - ABANDON_SECONDS - 1
        return [job.claim for job in self.running.copy().values() if job.deadline > longest]

    def heard(self, lost: set[str], cancelled: set[str]) -> None:
        self.loop.call_soon_threadsafe(self._hear, lost, cancelled)

    def blocking_job(self) -> Claim | None:
        task = asyncio.current_task(self.loop)
        return next((job.claim for job in self.running.copy().values() if job.task is task), None)

    def _hear(self, lost: set[str], cancelled: set[str]) -> None:
        for lease in lost & self.running.keys():
            self._stop(self.running[lease], StopReason.LEASE_LOST)
        for lease in cancelled & self.running.keys():
            self._stop(self.running[lease], StopReason.CANCELLED)
