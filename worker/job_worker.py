"""JobWorker: assembly and life of a worker process."""

import asyncio
import gc
from collections.abc import Mapping, Sequence
from contextlib import suppress
from signal import Handlers, Signals, getsignal
from typing import TYPE_CHECKING, Any, cast

from arq.typing import WorkerCoroutine
from arq.worker import Worker, func

from shared.files import FileStore
from shared.logging import get_log, log_context
from shared.store import redis_keys
from shared.store.client import connect
from shared.store.file_records import FileRecords
from shared.store.job_leases import Claim
from shared.store.retention import Retention
from shared.store.shards import Shards
from worker.assembly import describe_worker, open_deliverer, open_models, open_processes
from worker.attempt_spans import AttemptSpans
from worker.context import Tools
from worker.files import AttemptFiles
from worker.handler import Handler
from worker.heartbeat.supervisor import HeartbeatSupervisor
from worker.lane_pair import AllLanes, LanePair
from worker.metrics.lane_metrics import LaneMetrics
from worker.processes.child_counts import Children
from worker.recycler import Recycler
from worker.running_jobs import RunningJobs
from worker.scratch import Scratch
from worker.services.cleaner import Cleaner
from worker.services.deadlines import Deadlines
from worker.settings import WorkerSettings
from worker.shard_work import Service, ShardWork, share_slots
from worker.shutdown import Shutdown
from worker.webhooks.circuits import Circuits

if TYPE_CHECKING:
    from shared.traces.tracer import Tracer
    from worker.metrics.worker_metrics import WorkerMetrics

LEAVE_SECONDS = 0.2
GARBAGE_THRESHOLD = 10_000  # objects; a job makes a few dozen, and hardly a cycle

log = get_log(__name__)


class JobWorker(Worker):
    """Performs jobs until a signal comes, or until it is to be replaced. Its duties:

    1. Claim jobs, run them, write their outcomes: a lane for jobs, and one for webhooks (`worker.lane`).
    2. Renew the leases of running jobs, by a process of its own (`worker.heartbeat`).
    3. Stop jobs that are cancelled (`worker.services.cancellation_listener`), or whose time is over
       (`worker.services.deadlines`).
    4. Write progress and log lines (`worker.services.reporter`).
    5. Rescue the jobs of dead workers (`worker.services.rescuer`).
    6. Remove files of no further use (`worker.services.cleaner`).
    7. After a signal, or at its planned end (`worker.recycler`), let jobs finish, and release the rest
       (`worker.shutdown`).

    Used of `arq.Worker`: the registry of functions, the pool of connections, the event loop, the handlers of
    signals, and `run`, `main` and `close` as the frame of a process. Its poll loop is replaced: arq reads,
    claims and ends each job by calls of its own, a lane does so for many jobs by one call. The message of a
    job and its queue in Redis stay those of arq.

    Args:
        settings: the worker's settings.
        handlers: the handlers by job type.
        files: the store of their artifacts and inputs.
        tracer: begins the spans; None while TRACES is off.
        metrics: the metrics; None without WORKER_METRICS_PORT.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        handlers: Mapping[str, Handler],
        files: FileStore,
        tracer: "Tracer | None" = None,
        metrics: "WorkerMetrics | None" = None,
    ) -> None:
        url = settings.redis_url.get_secret_value()
        functions = [func(cast(WorkerCoroutine, h.perform), name=name) for name, h in handlers.items()]
        pool = connect(url, connections=2)
        super().__init__(functions, redis_pool=pool, max_jobs=settings.worker_concurrency, keep_result=0)
        if getsignal(Signals.SIGHUP) is not Handlers.SIG_IGN:  # as under nohup
            self._add_signal_handler(Signals.SIGHUP, self.handle_sig)
        self.worker_info = describe_worker(settings)
        self.exit_code = 0
        self._settings = settings
        self._tracer = tracer
        self._retention = Retention(
            settings.retain_completed, settings.retain_failed, settings.retain_cancelled
        )
        self._processes = open_processes(settings)
        self._models = open_models(settings, handlers, self._note_models)
        self._files = files
        self._scratch = Scratch()
        self._shutdown = Shutdown(settings.worker_grace_seconds)
        self._metrics = metrics
        durations = metrics.redis_calls if metrics else None
        self._shards = [
            ShardWork(
                client,
                lease=settings.worker_lease_seconds,
                retention=self._retention,
                durations=durations,
            )
            for client in (self.pool, *(connect(url, shard=shard) for shard in range(1, settings.shards)))
        ]
        self._circuits = Circuits(settings.worker_webhooks)
        self._circuits.on_room = lambda: self._lanes.note_room_for_webhooks()
        self._deliverer = open_deliverer(settings, self._circuits, tracer)
        webhook = self._deliverer.handler()
        for work in self._shards:
            self._open_lanes(work, handlers, webhook)
        share_slots([work.lanes.jobs for work in self._shards])
        share_slots([work.lanes.webhooks for work in self._shards])
        self._lanes = AllLanes([work.lanes for work in self._shards])
        self._recycler = Recycler(
            self._lanes.jobs.jobs,
            max_jobs=settings.worker_max_jobs,
            max_rss=settings.worker_max_rss_bytes,
            on_due=self._recycle,
        )
        self._heartbeat = HeartbeatSupervisor(
            url,
            self.worker_info,
            [list(work.lanes) for work in self._shards],
            lease=settings.worker_lease_seconds,
            longest=max(handler.job_type.timeout for handler in (*handlers.values(), webhook)),
            on_failover=self._renew_connections,
        )
        self._services = self._open_services()

    def _open_lanes(self, work: ShardWork, handlers: Mapping[str, Handler], webhook: Handler) -> None:
        settings, worker_id = self._settings, self.worker_info.worker_id
        metrics, circuits = self._metrics, self._circuits
        jobs = work.open_lane(
            worker_id,
            settings.worker_queues,
            self._open_jobs(work, settings.worker_concurrency, handlers, metrics.jobs if metrics else None),
            on_leases=lambda: self._heartbeat.publish(),  # opened after the lanes
            on_change=self._note_job if settings.worker_max_jobs else self._shutdown.note_change,
            metrics=metrics.jobs if metrics else None,
        )
        webhooks = work.open_lane(
            f"{worker_id}-webhooks",
            [redis_keys.WEBHOOKS],
            self._open_jobs(
                work,
                settings.worker_webhooks,
                {webhook.job_type.name: webhook},
                metrics.webhooks if metrics else None,
                circuits,
            ),
            on_leases=lambda: self._heartbeat.publish(),
            on_change=self._shutdown.note_change,
            metrics=metrics.webhooks if metrics else None,
        )
        if self._tracer is not None:
            jobs.jobs.spans = AttemptSpans(self._tracer)
        work.lanes = LanePair(jobs, webhooks)

    def _open_jobs(
        self,
        work: ShardWork,
        size: int,
        handlers: Mapping[str, Handler],
        metrics: LaneMetrics | None,
        circuits: Circuits | None = None,
    ) -> RunningJobs:
        return RunningJobs(
            size,
            handlers,
            max_result_bytes=self._settings.worker_max_result_bytes,
            tools=Tools(self._processes, self._files_of, self._settings.worker_max_result_bytes),
            on_report=lambda: self.loop.call_soon_threadsafe(work.report_due.set),
            aside=(lambda: circuits.aside) if circuits else None,
            most_aside=circuits.most_aside if circuits else 0,
            metrics=metrics,
        )

    def _open_services(self) -> list[Service]:
        settings, metrics = self._settings, self._metrics
        connections = [work.connection for work in self._shards]
        self._shards_of_files = Shards(connections)
        records = FileRecords(connections[0] if len(connections) == 1 else self._shards_of_files)
        return [
            *(
                service
                for work in self._shards
                for service in work.services(metrics.note_moves if metrics else None)
            ),
            Deadlines(self._lanes, self._heartbeat.publish).run,
            Cleaner(records, self._files, settings.worker_sweep_seconds).run,
            *([self._recycler.run] if settings.worker_max_rss_bytes else []),
            *self._metrics_services(),
        ]

    def _note_job(self) -> None:
        """Let the shutdown and the recycler check again: a job has ended, or a step is done."""
        self._shutdown.note_change()
        self._recycler.check_jobs()

    def _metrics_services(self) -> list[Service]:
        if self._metrics is None:
            return []
        children = Children(self._processes, self._models, self._heartbeat)
        return self._metrics.services_of(
            self._lanes, children, lambda: all(work.connections.redis_answers for work in self._shards)
        )

    def _note_models(self) -> None:
        """Claim from the queues whose models are loaded, and show the states of the model hosts."""
        self._lanes.close_queues(self._models.closed_queues)
        self._heartbeat.show_models(self._models.states.decode())

    def _renew_connections(self) -> None:
        """Leave the former primary after a fail-over; called in the heartbeat's thread."""
        for work in self._shards:
            self.loop.call_soon_threadsafe(work.connections.renew)

    def _files_of(self, claim: Claim) -> AttemptFiles:
        worker_id = self.worker_info.worker_id
        return AttemptFiles(self._files, claim.job_id, claim.fencing_token, worker_id, self._scratch.folder)

    # -- the life of the process

    def run(self) -> None:
        """Work until a signal comes, even if a task that a handler left behind raises SystemExit."""
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
        self._models.start(self._settings.worker_concurrency)
        self._note_models()  # before the first claim too: no job is claimed whose model is not loaded
        log.info("worker started", worker_id=self.worker_info.worker_id, queues=self.worker_info.queues)
        running = {self.loop.create_task(service()): service for service in self._services}
        stop = self.loop.create_task(self._shutdown.requested.wait())
        self._processes.start()
        gc.collect()
        gc.freeze()  # objects that live for ever need not be walked again
        gc.set_threshold(GARBAGE_THRESHOLD)
        try:
            await self._serve(running, stop)
            if not await self._shutdown.drain(self._lanes):
                self.exit_code = 1
        finally:
            self._heartbeat.stop()
            await self._end([*running, stop])
        await self._leave()

    async def _serve(self, running: dict[asyncio.Task[None], Service], stop: asyncio.Task[Any]) -> None:
        """Wait for a signal, or for a service that fails; start a service again that was cancelled."""
        while True:
            done, _ = await asyncio.wait([*running, stop], return_when=asyncio.FIRST_COMPLETED)
            if any(task is stop or not task.cancelled() for task in done):
                return
            for task in done:
                service = running.pop(task)
                part = service.__qualname__
                log.error("a part of the worker was cancelled; it is started again", part=part)
                running[self.loop.create_task(service())] = service

    def handle_sig(self, signum: Signals) -> None:
        """Begin the shutdown; a second signal releases running jobs at once."""
        log.info("worker stops", signal=Signals(signum).name, running=self._lanes.running)
        self._shutdown.request()

    def _recycle(self, reason: str) -> None:
        """Begin the planned end of this worker, unless it ends already."""
        if not self._shutdown.requested.is_set():
            token = log_context.set({})  # the last job's, whose end is noticed here
            log.info("worker stops, to be replaced", reason=reason, running=self._lanes.running)
            log_context.reset(token)
            self._shutdown.begin()

    async def _end(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        running = set(tasks)
        while running:  # again and again, because a library may swallow a cancellation
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=0.1)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()):
                log.critical("a part of the worker failed; the process ends", exc_info=error)
                self.exit_code = 1

    async def _leave(self) -> None:
        """Remove the worker from Redis' list of workers."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await asyncio.gather(*(work.leave() for work in self._shards))
        log.info("worker ended", worker_id=self.worker_info.worker_id)

    async def close(self) -> None:
        await self._processes.close()
        await self._models.close()
        self._files.close()
        self._scratch.close()
        await self._deliverer.aclose()
        self._shards_of_files.end_pings()
        for work in self._shards:
            await work.connections.aclose()
