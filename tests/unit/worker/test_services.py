"""The services of a worker, each by itself."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import orjson
import pytest
from redis.asyncio import Redis

from shared.store import redis_keys
from shared.store.job_leases import OutcomeKind
from shared.store.upkeep import Upkeep
from tests.conftest import LogTape
from tests.new_jobs import RETENTION
from tests.unit.worker.conftest import Bench, WatchedLeases
from tests.unit.worker.pools import until
from worker.connections import Connections
from worker.lane_pair import LanePair
from worker.running_job import StopReason
from worker.services.cancellation_listener import CancellationListener
from worker.services.deadlines import Deadlines
from worker.services.reporter import Reporter
from worker.services.rescuer import Rescuer
from worker.timeouts import ABANDON_SECONDS

HOUR = 3600.0
Start = Callable[..., Awaitable[None]]


@pytest.fixture
def lanes(bench: Bench) -> LanePair:
    return LanePair(bench.lane, Bench(bench.redis).lane)


@pytest.fixture
def start(bench: Bench) -> Start:
    """Let the lane run jobs."""

    async def start(*job_ids: str) -> None:
        await bench.submit(*job_ids)
        bench.run(*bench.pumps)
        await until(lambda: bench.started == list(job_ids))

    return start


async def progress_of(bench: Bench, job_id: str) -> Any:
    return orjson.loads((await bench.record(job_id)).fields.get(b"progress", b"null"))


# -- the reporter


async def test_the_reporter_writes_progress_and_lines(bench: Bench, lanes: LanePair, start: Start):
    await start("a")
    bench.run(Reporter(lanes, bench.leases, bench.report_due).run)
    bench.contexts["a"].progress(0.5, "half")
    bench.contexts["a"].log("line")
    await until(lambda: not bench.contexts["a"].unsent)
    assert await progress_of(bench, "a") == {"fraction": 0.5, "message": "half"}
    (line,) = (await bench.job_queue.logs("a")).lines
    assert orjson.loads(line)["message"] == "line"


async def test_the_reporter_sends_again_what_redis_did_not_take(bench: Bench, lanes: LanePair, start: Start):
    await start("a")
    bench.contexts["a"].progress(0.5)
    leases = WatchedLeases(bench.redis)
    leases.away = True
    bench.run(Reporter(lanes, leases, bench.report_due).run)
    await until(lambda: leases.refused)
    assert bench.contexts["a"].unsent
    leases.away = False
    await until(lambda: not bench.contexts["a"].unsent)
    assert (await progress_of(bench, "a"))["fraction"] == 0.5


async def test_the_reporter_stops_jobs_whose_cancellation_it_meets(
    bench: Bench, lanes: LanePair, start: Start
):
    """The listener may have missed it."""
    await start("a", "b")
    await bench.job_queue.cancel("a")
    bench.run(Reporter(lanes, bench.leases, bench.report_due).run)
    for job_id in "ab":
        bench.contexts[job_id].progress(0.5)
    await until(lambda: [job.claim.job_id for job in bench.jobs.running.values()] == ["b"])
    await until(lambda: not bench.jobs.unwritten)
    assert await bench.state("a") == "cancelled"


# -- the listener


class FakeConnections:
    """Hands out one connection, which keeps its commands.

    Attributes:
        commands: the commands that were sent, in order.
        away: whether Redis does not answer.
    """

    def __init__(self) -> None:
        self.commands: list[tuple[str, ...]] = []
        self.away = False

    def open_for_messages(
        self, *, timeout: float, on_message: Callable[[bytes, bytes], None], on_loss: Callable[[], None]
    ) -> "FakeConnections":
        self.on_message, self.on_loss = on_message, on_loss
        return self

    async def execute_command(self, *words: str) -> None:
        self.commands.append(words)
        if self.away:
            raise ConnectionError


async def test_the_listener_stops_the_job_whose_cancellation_is_published(
    bench: Bench, lanes: LanePair, start: Start
):
    await start("a", "b")
    connections = FakeConnections()
    bench.run(CancellationListener(cast(Connections, connections), lanes).run)
    await until(lambda: connections.commands)
    connections.on_message(redis_keys.CANCEL.encode(), b"a")
    await until(lambda: list(bench.jobs.running) == ["1:b"])
    assert connections.commands == [("SUBSCRIBE", redis_keys.CANCEL)]


async def test_the_listener_subscribes_again_after_a_lost_connection(
    bench: Bench, lanes: LanePair, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("worker.services.cancellation_listener.PING_SECONDS", 0.01)
    connections = FakeConnections()
    bench.run(CancellationListener(cast(Connections, connections), lanes).run)
    await until(lambda: connections.commands)
    connections.away = True
    connections.commands.clear()
    connections.on_loss()
    await until(lambda: connections.commands)
    refused = len(connections.commands)
    connections.away = False
    await until(lambda: ("PING",) in connections.commands[refused:])
    assert connections.commands[refused] == ("SUBSCRIBE", redis_keys.CANCEL)


async def test_the_listener_checks_a_silent_connection(
    bench: Bench, lanes: LanePair, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("worker.services.cancellation_listener.PING_SECONDS", 0.01)
    connections = FakeConnections()
    bench.run(CancellationListener(cast(Connections, connections), lanes).run)
    await until(lambda: len(connections.commands) >= 3)
    assert connections.commands[1:3] == [("PING",), ("PING",)]


# -- the deadlines


async def test_the_deadlines_stop_an_attempt_whose_time_is_over(bench: Bench, lanes: LanePair, start: Start):
    await start("a", "b")
    bench.jobs.running["1:a"].deadline = 0.0
    published: list[bool] = []
    bench.run(Deadlines(lanes, lambda: published.append(True)).run)
    await until(lambda: list(bench.jobs.running) == ["1:b"])
    await until(lambda: not bench.jobs.unwritten)
    assert b"job_timeout" in (await bench.record("a")).fields[b"errors"]
    assert published


async def test_the_deadlines_abandon_an_attempt_that_does_not_end(
    bench: Bench, lanes: LanePair, start: Start
):
    await start("a")
    job = bench.jobs.running["1:a"]
    job.stop, job.stopped_at = StopReason.CANCELLED, job.started_at - ABANDON_SECONDS
    bench.run(Deadlines(lanes, lambda: None).run)
    await until(lambda: not bench.jobs.running)
    await until(lambda: not bench.jobs.unwritten)
    assert await bench.state("a") == "cancelled"


async def test_a_tick_keeps_the_lease_of_an_outcome_that_redis_does_not_know(bench: Bench, start: Start):
    await start("a")
    bench.leases.away = True
    bench.let_end("a")
    await until(lambda: bench.jobs.unwritten)
    bench.jobs.lease_lines["1:a"] = "default 1:a 5"  # with a deadline, as that of a running attempt
    bench.jobs.tick()
    assert bench.jobs.lease_lines == {"1:a": "default 1:a"}


# -- the rescuer


async def test_the_rescuer_keeps_a_failed_job_for_the_time_of_the_settings(
    bench: Bench, start: Start, log_tape: LogTape
):
    """Not for the default: RETENTION has other times."""
    await start("a")
    await bench.redis.hset(redis_keys.RECORD + "a", "max_attempts", "1")
    await bench.redis.zadd(redis_keys.LEASES + "default", {"1:a": 1})  # its worker is lost
    bench.run(Rescuer(Upkeep(bench.redis, RETENTION), ["default"], lease=HOUR).run)
    await until(lambda: log_tape.lines("rescued a job whose worker was lost"))
    fields = (await bench.record("a")).fields
    assert fields[b"state"] == b"failed"
    assert int(fields[b"expires_at"]) - int(fields[b"finished_at"]) == RETENTION.failed * 1000
    assert await ends_in(bench.redis, redis_keys.RECORD + "a") <= RETENTION.failed


async def ends_in(redis: Redis, key: str) -> float:
    """Seconds until a key expires."""
    left: int = await redis.pttl(key)
    assert left > 0
    return left / 1000


async def test_a_step_keeps_an_ended_job_for_the_time_of_the_settings(bench: Bench, start: Start):
    await start("a")
    bench.let_end("a")
    await until(lambda: not bench.jobs.running and not bench.jobs.unwritten)
    fields = (await bench.record("a")).fields
    assert fields[b"state"] == OutcomeKind.COMPLETED.encode()
    assert int(fields[b"expires_at"]) - int(fields[b"finished_at"]) == RETENTION.completed * 1000
    assert await ends_in(bench.redis, redis_keys.RECORD + "a") <= RETENTION.completed
