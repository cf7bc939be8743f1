"""JobWorker: arq's worker with its poll loop replaced by lanes, leases and a heartbeat."""

import asyncio
import gc
import os
import random
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from secrets import token_hex
from signal import Handlers, Signals, getsignal
from typing import Any, cast

from arq.typing import WorkerCoroutine
from arq.worker import Worker, func

from shared.errors import QueueUnavailable
from shared.files import FileStore
from shared.logging import get_log
from shared.store import redis_keys
from shared.store.client import REDIS_GONE, connect
from shared.store.file_records import FileRecords
from shared.store.job_leases import AttemptReport, Claim, JobLeases
from shared.store.multiplexer import Multiplexer
from shared.store.retention import Retention
from shared.store.upkeep import Upkeep, keep_up
from shared.store.worker_info import WorkerInfo
from worker.context import Tools
from worker.files import AttemptFiles
from worker.heartbeat.supervisor import HeartbeatSupervisor
from worker.lane import WAKE_UP_SECONDS, Lane
from worker.processes.environment import child_environment
from worker.processes.pool import Processes
from worker.registry import Handler
from worker.running_jobs import RunningJobs
from worker.scratch import Scratch, sweep_scratch
from worker.services.cleaner import keep_swept
from worker.settings import WorkerSettings
from worker.webhooks.circuits import Circuits
from worker.webhooks.deliverer import Deliverer

TICK_SECONDS = 0.1
REPORT_SECONDS = 0.1
RELEASE_SECONDS = 0.3  # for a handler to end after it was told to
FLUSH_SECONDS = 0.3
LEAVE_SECONDS = 0.2
PING_SECONDS = 10.0  # the longest time for which the listener's connection may be dead unnoticed
GARBAGE_THRESHOLD = 10_000  # objects; a job makes a few dozen, and hardly a cycle

Service = Callable[[], Coroutine[Any, Any, None]]

log = get_log(__name__)


class JobWorker(Worker):
    """Claims jobs, performs them, and tells Redis how they ended.

    There is a lane for jobs, and one for the webhooks that tell of their ends, so that neither waits for
    the slots of the other. Five tasks and a thread serve both:

    - the listener hears which jobs are to be cancelled;
    - the reporter writes progress and logs;
    - the deadlines end attempts that take too long;
    - the sweeper removes files that nothing needs any more;
    - the upkeep rescues, expires, prunes and repairs jobs that no step comes to;
    - the heartbeat's process renews the leases, and its thread keeps that process.

    Args:
        settings: the worker's settings.
        handlers: the handlers by job type.
        files: where their artifacts and inputs are.
    """

    def __init__(self, settings: WorkerSettings, handlers: Mapping[str, Handler], files: FileStore) -> None:
        url = settings.redis_url.get_secret_value()
        functions = [func(cast(WorkerCoroutine, h.perform), name=name) for name, h in handlers.items()]
        pool = connect(url, connections=2)
        super().__init__(functions, redis_pool=pool, max_jobs=settings.worker_concurrency, keep_result=0)
        if getsignal(Signals.SIGHUP) is not Handlers.SIG_IGN:  # as under nohup
            self._add_signal_handler(Signals.SIGHUP, self.handle_sig)
        self.worker_info = WorkerInfo(
            worker_id=token_hex(6),
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=settings.worker_queues,
            slots=settings.worker_concurrency,
            started_at=time.time(),
        )
        self.exit_code = 0
        self._settings = settings
        self._retention = Retention(
            settings.retain_completed, settings.retain_failed, settings.retain_cancelled
        )
        self._processes = Processes(
            settings.worker_processes,
            max_calls=settings.worker_process_max_calls,
            max_rss=settings.worker_process_max_rss_bytes,
            max_memory=settings.worker_process_max_memory_bytes,
            job_types=settings.job_types,
            environment=child_environment(settings.worker_child_environment),
        )
        self._files = files
        self._scratch = Scratch()
        self._runners: list[Multiplexer] = []
        self._connected = True
        self._reported = asyncio.Event()  # for the reporter
        self._moved = asyncio.Event()  # for the shutdown: a job has ended, or a step is done
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._runner = self._open_connection(timeout=5.0)
        self._job_leases = JobLeases(self._runner)
        self._circuits = Circuits(settings.worker_webhooks)
        self._deliverer = self._open_deliverer()
        webhook = self._deliverer.handler()
        self._lanes = self._open_lanes(handlers, webhook)
        self._deaf = asyncio.Event()  # the listener's connection is lost
        self._ear = Multiplexer(
            self.pool, timeout=5.0, patience=0.0, on_message=self._hear_cancel, on_loss=self._deaf.set
        )
        self._heartbeat = HeartbeatSupervisor(
            url,
            self.worker_info,
            self._lanes,
            lease=settings.worker_lease_seconds,
            longest=max(handler.job_type.timeout for handler in (*handlers.values(), webhook)),
            on_failover=self._hear_failover,
        )

    def _open_connection(self, *, timeout: float) -> Multiplexer:
        runner: Multiplexer = Multiplexer(
            self.pool,
            timeout=timeout,
            patience=0.0,
            on_failover=lambda: self._renew_connections(besides=runner),
        )
        self._runners.append(runner)
        return runner

    def _open_deliverer(self) -> Deliverer:
        settings = self._settings
        return Deliverer(
            settings.webhook_secrets,
            settings.webhook_allowed_networks,
            ports=settings.webhook_allowed_ports,
            signing=settings.webhook_signing,
            circuits=self._circuits,
        )

    def _open_lanes(self, handlers: Mapping[str, Handler], webhook: Handler) -> list[Lane]:
        """The lane of the queues, and that of the webhooks."""
        settings, worker_id = self._settings, self.worker_info.worker_id
        jobs = self._open_lane(worker_id, settings.worker_queues, settings.worker_concurrency, handlers)
        webhooks = self._open_lane(
            f"{worker_id}-webhooks",
            [redis_keys.WEBHOOKS],
            settings.worker_webhooks,
            {webhook.job_type.name: webhook},
            self._circuits,
        )
        self._circuits.on_room = webhooks.jobs.on_end
        return [jobs, webhooks]

    def _open_lane(
        self,
        worker_id: str,
        queues: Sequence[str],
        size: int,
        handlers: Mapping[str, Handler],
        circuits: Circuits | None = None,
    ) -> Lane:
        jobs = RunningJobs(
            size,
            handlers,
            max_result_bytes=self._settings.worker_max_result_bytes,
            tools=Tools(self._processes, self._files_of, self._settings.worker_max_result_bytes),
            on_report=lambda: self.loop.call_soon_threadsafe(self._reported.set),
            aside=(lambda: circuits.aside) if circuits else None,
            most_aside=circuits.most_aside if circuits else 0,
        )
        return Lane(
            worker_id,
            queues,
            jobs,
            lease=self._settings.worker_lease_seconds,
            retention=self._retention,
            job_leases=self._job_leases,
            idle_leases=JobLeases(self._open_connection(timeout=WAKE_UP_SECONDS * 2)),  # BLPOP blocks it
            on_step=lambda: self._heartbeat.publish(),  # it is made after the lanes
            on_move=self._moved.set,
            on_redis=self._hear_redis,
        )

    def _files_of(self, claim: Claim) -> AttemptFiles:
        return AttemptFiles(self._files, claim.job_id, claim.fencing_token, self._scratch.folder)

    # -- the life of the process

    def run(self) -> None:
        """Work until a signal comes. A task that a handler left behind may raise what ends an event loop."""
        self.main_task = self.loop.create_task(self.main())
        while not self.main_task.done():
            try:
                self.loop.run_until_complete(self.main_task)
            except (SystemExit, KeyboardInterrupt) as error:
                log.error("a handler's task tried to end the process", error=repr(error))
            except RuntimeError as error:
                if self.main_task.done():
                    raise
                log.error("a handler stopped the event loop; it goes on", error=repr(error))
        self.loop.run_until_complete(self.close())

    async def main(self) -> None:
        """Work until a signal comes, then leave without losing anything."""
        await self._heartbeat.start()  # before the first claim: its handler may hold the interpreter at once
        log.info("worker started", worker_id=self.worker_info.worker_id, queues=self.worker_info.queues)
        services = {
            self.loop.create_task(service()): service
            for service in (
                *(service for lane in self._lanes for service in (lane.pump, lane.waker)),
                self._listener,
                self._reporter,
                self._deadlines,
                self._sweeper,
                self._upkeep,
            )
        }
        stop = self.loop.create_task(self._stopping.wait())
        self._processes.start()
        gc.collect()
        gc.freeze()  # what lives for ever need not be walked again
        gc.set_threshold(GARBAGE_THRESHOLD)
        try:
            await self._serve(services, stop)
            await self._drain()
        finally:
            self._heartbeat.stop()
            await self._end([*services, stop])
        await self._leave()

    async def _serve(self, services: dict[asyncio.Task[None], Service], stop: asyncio.Task[Any]) -> None:
        """Wait for a signal, or for a service that fails; one that was cancelled is started again."""
        while True:
            done, _ = await asyncio.wait([*services, stop], return_when=asyncio.FIRST_COMPLETED)
            if any(task is stop or not task.cancelled() for task in done):
                return
            for task in done:
                service = services.pop(task)
                log.error("a part of the worker was cancelled; it is started again", part=service.__name__)
                services[self.loop.create_task(service())] = service

    def handle_sig(self, signum: Signals) -> None:
        """The first signal begins the shutdown; the second hands running jobs back at once."""
        if self._stopping.is_set():
            self._hurry.set()
        log.info("worker stops", signal=Signals(signum).name, running=self._running)
        self._stopping.set()
        self._moved.set()

    async def close(self) -> None:
        await self._processes.close()
        self._files.close()
        self._scratch.close()
        await self._deliverer.aclose()
        for runner in (*self._runners, self._ear):
            await runner.aclose()
        await self.pool.aclose(close_connection_pool=True)

    async def _drain(self) -> None:
        """Claim nothing more; let jobs finish within the grace; hand the rest back; flush."""
        for lane in self._lanes:
            lane.stop_claiming()
        await self._until(self._no_step, FLUSH_SECONDS)  # its claims are on their way to us
        grace = self._settings.worker_grace_seconds
        await self._until(lambda: not self._running or self._hurry.is_set(), grace)
        for lane in self._lanes:
            lane.jobs.release()
        await self._until(lambda: not self._running, RELEASE_SECONDS)
        for lane in self._lanes:
            lane.jobs.abandon()
        if not await self._until(lambda: not self._unwritten and self._no_step(), FLUSH_SECONDS):
            log.error("outcomes could not be written; their leases will run out", jobs=self._unwritten)
            self.exit_code = 1

    @property
    def _running(self) -> int:
        return sum(len(lane.jobs.running) for lane in self._lanes)

    @property
    def _unwritten(self) -> int:
        return sum(len(lane.jobs.finished) for lane in self._lanes)

    def _no_step(self) -> bool:
        return not any(lane.stepping for lane in self._lanes)

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
                for lane in self._lanes:
                    await self._job_leases.leave(lane.worker_id, lane.queues)
        log.info("worker ended", worker_id=self.worker_info.worker_id)

    # -- what serves all lanes

    async def _listener(self) -> None:
        """Hear which jobs are to be cancelled. What is missed while Redis is away, the heartbeat brings."""
        while True:
            self._deaf.clear()
            with suppress(*REDIS_GONE):
                await self._ear.execute_command("SUBSCRIBE", redis_keys.CANCEL)
                while not self._deaf.is_set():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(PING_SECONDS):
                            await self._deaf.wait()
                            break
                    await self._ear.execute_command("PING")
            await asyncio.sleep(random.uniform(0.2, 0.5))

    def _hear_cancel(self, channel: bytes, job_id: bytes) -> None:
        self._cancel({job_id.decode()})

    def _hear_failover(self) -> None:
        """The heartbeat has met a fail-over; called in its thread."""
        self.loop.call_soon_threadsafe(self._renew_connections)

    def _renew_connections(self, besides: Multiplexer | None = None) -> None:
        """Leave a former primary, which not every connection hears of: a subscription never does."""
        for runner in (*self._runners, self._ear):
            if runner is not besides:
                runner.renew()

    async def _reporter(self) -> None:
        """Write the progress and logs of all jobs together, ten times a second at most."""
        while True:
            await self._reported.wait()
            self._reported.clear()
            unsent = [pair for lane in self._lanes for pair in lane.jobs.pending_reports()]
            reports = [AttemptReport(job.claim, report.progress, report.lines) for job, report in unsent]
            try:
                self._cancel(await self._job_leases.report(reports))
            except QueueUnavailable:
                self._reported.set()
                await asyncio.sleep(random.uniform(0.2, 0.5))
            else:
                for job, report in unsent:
                    job.context.acknowledge(report)
            await asyncio.sleep(REPORT_SECONDS)

    async def _sweeper(self) -> None:
        """Remove files that nothing needs any more."""
        await asyncio.to_thread(sweep_scratch)
        await keep_swept(FileRecords(self._runners[0]), self._files, self._settings.worker_sweep_seconds)

    async def _upkeep(self) -> None:
        """Do what no step may come to do: see `shared.store.upkeep`."""
        queues = [queue for lane in self._lanes for queue in lane.queues]
        upkeep = Upkeep(self._runner, self._retention)
        await keep_up(upkeep, queues, lease=self._settings.worker_lease_seconds)

    async def _deadlines(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for lane in self._lanes:
                lane.jobs.tick()
            self._heartbeat.publish()

    def _cancel(self, job_ids: set[str]) -> None:
        for lane in self._lanes:
            lane.jobs.cancel(job_ids)

    def _hear_redis(self, error: QueueUnavailable | None) -> None:
        if self._connected and error:
            log.warning("Redis is away; running jobs go on", reason=error.message)
        elif error is None and not self._connected:
            log.info("Redis is back")
        self._connected = error is None
