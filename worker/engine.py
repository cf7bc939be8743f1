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
from shared.logging import get_log
from shared.store import keys
from shared.store.client import REDIS_GONE, connect, messages
from shared.store.job_store import JobStore
from shared.store.model import Finished, Presence, Retention, Step
from shared.store.multiplexer import Multiplexer
from worker.context import Tools
from worker.heartbeat import Heartbeat
from worker.processes import Processes
from worker.registry import Handler
from worker.settings import WorkerSettings
from worker.slots import Slots

TICK_SECONDS = 0.1
TOKEN_SECONDS = 5.0
REPORT_SECONDS = 0.1
HAND_BACK_SECONDS = 0.3  # for a handler to end after it was told to
FLUSH_SECONDS = 0.3
LEAVE_SECONDS = 0.2
LARGEST_BATCH = 500
GARBAGE_THRESHOLD = 10_000  # objects; a job makes a few dozen, and hardly a cycle

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
        pool = connect(url, connections=2)
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
        self._settings = settings
        self._processes = Processes(
            settings.worker_processes,
            max_calls=settings.worker_process_max_calls,
            max_rss=settings.worker_process_max_rss_bytes,
        )
        self._slots = Slots(
            settings.worker_slots,
            handlers,
            max_result_bytes=settings.worker_max_result_bytes,
            tools=Tools(self._processes),
            on_end=self._notice,
            on_progress=lambda: self.loop.call_soon_threadsafe(self._reported.set),
        )
        self._runner = Multiplexer(self.pool, timeout=5.0, patience=0.0)
        self._store = JobStore(self._runner, retention)
        self._idle_runner = Multiplexer(self.pool, timeout=TOKEN_SECONDS * 2, patience=0.0)  # BLPOP blocks it
        self._idle_store = JobStore(self._idle_runner, retention)
        self._heartbeat = Heartbeat(url, self.presence, self._slots, lease=settings.worker_lease_seconds)
        self._steps = 0
        self._share = -(
            -settings.worker_slots // 2
        )  # jobs to claim at once: Redis gets the next while these run
        self._claiming = True
        self._connected = True
        self._stepping = False
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
        self._processes.start()
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
        log.info("worker stops", signal=Signals(signum).name, running=len(self._slots.running))
        self._stopping.set()
        self._moved.set()

    async def close(self) -> None:
        await self._processes.close()
        await self._idle_runner.aclose()
        await self._runner.aclose()
        await self.pool.aclose(close_connection_pool=True)

    async def _drain(self) -> None:
        """Claim nothing more; let jobs finish within the grace; hand the rest back; flush."""
        self._claiming = False
        await self._until(lambda: not self._stepping, FLUSH_SECONDS)  # its claims are on their way to us
        grace = self._settings.worker_grace_seconds
        slots = self._slots
        await self._until(lambda: not slots.running or self._hurry.is_set(), grace)
        slots.hand_back()
        await self._until(lambda: not slots.running, HAND_BACK_SECONDS)
        slots.abandon()
        if not await self._until(lambda: not slots.finished and not self._stepping, FLUSH_SECONDS):
            log.error("outcomes could not be written; their leases will run out", jobs=len(slots.finished))
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
        return self._slots.free if self._claiming else 0

    async def _pump(self) -> None:
        """While something has finished or may be due: one step. Otherwise rest."""
        more_due, wait = True, 0.0
        while True:
            if not self._slots.finished and not (more_due and self.free_slots > 0):
                await self._rest(wait)
            self._work.clear()  # before the step: what comes after it asks for another one
            finished = self._slots.finished[:LARGEST_BATCH]
            slots = min(self.free_slots, self._share)
            self._stepping = True
            step = await self._step(finished, slots)
            self._stepping = False
            del self._slots.finished[: len(finished)]
            self._moved.set()
            self._log_step(finished, step)
            for claim in step.claims:
                self._slots.start(claim)
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
        """One step, repeated until Redis has answered; a repeat claims nothing new once the worker drains."""
        self._steps += 1
        pause = 0.05
        while True:
            try:
                step = await self._store.step(
                    self.presence.worker_id,
                    self._steps,
                    self.presence.queues,
                    finished,
                    slots=min(slots, self.free_slots),
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
                    await self._store.return_token(queue)
                    self._idle.clear()
            except QueueUnavailable:
                self._work.set()  # the pump finds out, and says so
                await asyncio.sleep(random.uniform(0.2, 0.5))

    async def _listener(self) -> None:
        """Hear which jobs are to be cancelled. What is missed while Redis is away, the heartbeat brings."""
        while True:
            with suppress(*REDIS_GONE):
                async for job_id in messages(self.pool, keys.CANCEL):
                    self._slots.cancel({job_id.decode()})
            await asyncio.sleep(random.uniform(0.2, 0.5))

    async def _reporter(self) -> None:
        """Write the progress of all jobs together, ten times a second at most."""
        while True:
            await self._reported.wait()
            self._reported.clear()
            with suppress(QueueUnavailable):
                self._slots.cancel(await self._store.report(self._slots.take_progress()))
            await asyncio.sleep(REPORT_SECONDS)

    async def _deadlines(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._slots.tick()

    def _notice(self) -> None:
        """A job has ended: the pump has something to send, and a shutdown something to look at."""
        self._work.set()
        self._moved.set()

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
