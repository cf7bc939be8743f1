"""Acknowledged submissions to a cluster of doubles: shards that lack replicas get no new jobs meanwhile."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from itertools import chain
from zlib import crc32

import pytest

from api.redis_connections import ShardedConnections, open_connections
from api.settings import ApiSettings
from shared.errors import QueueUnavailable
from shared.ids import new_job_id, shard_of
from shared.store import replica_shortages as module
from shared.store.job_queue import JobQueue
from shared.store.slots import SLOTS, slot_of, tag_of
from tests.integration.echo_server import until
from tests.integration.redis_double import Command, RedisDouble, Reply, serving
from tests.new_jobs import RETENTION, new_job

COUNT = 4
LESS = Exception("NOREPLICAS Not enough good replicas to write.")
HERE, THERE = {0, 2}, {1, 3}  # the shards of the first primary, and of the second


class PrimaryDouble:
    """A primary of one half of the slots.

    Attributes:
        confirming: the replicas that confirm its writes.
        refuses: whether it takes no writes for lack of replicas.
        server: its server, once it listens.
    """

    def __init__(self, primaries: list["PrimaryDouble"]) -> None:
        self.confirming = 1
        self.refuses = False
        self.server: RedisDouble
        self._primaries = primaries

    def answer(self, command: Command) -> Reply:
        match command:
            case ["CLUSTER", "NODES"]:
                return "\n".join(primary.line for primary in self._primaries) + "\n"
            case ["ROLE"]:
                return ["master", 0, []]
            case ["PING"]:
                return "PONG"
            case ["WAIT", *_]:
                return self.confirming
            case ["EVALSHA" | "HSET", *_] if self.refuses:
                return LESS
            case ["EVALSHA", *_]:
                return ["done", [["accepted", "1000", "", "", 0]]]
        return "OK"

    @property
    def line(self) -> str:
        """The primary in the reply to CLUSTER NODES."""
        number = self._primaries.index(self)
        first, last = (SLOTS * n // len(self._primaries) for n in (number, number + 1))
        return (
            f"{number} 127.0.0.1:{self.server.port}@1 master - 0 0 {number + 1} connected {first}-{last - 1}"
        )

    @property
    def waits(self) -> list[list[str]]:
        return [words for name, *words in self.server.commands if name == "WAIT"]


@pytest.fixture
async def primaries() -> AsyncIterator[list[PrimaryDouble]]:
    found: list[PrimaryDouble] = []
    async with AsyncExitStack() as stack:
        for primary in (PrimaryDouble(found), PrimaryDouble(found)):
            found.append(primary)
            primary.server = await stack.enter_async_context(serving(primary.answer))
        assert {shard for shard in range(COUNT) if slot_of(tag_of(shard)) < SLOTS // 2} == HERE
        yield found


Open = Callable[[int], JobQueue]


@pytest.fixture
async def open_queue(primaries: list[PrimaryDouble], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Open]:
    """Open the queue of an API whose submissions wait for so many replicas."""
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.01)
    opened = []

    def open_queue(replicas: int) -> JobQueue:
        settings = ApiSettings(
            redis_url=f"redis+cluster://127.0.0.1:{primaries[0].server.port}",
            redis_shards=COUNT,
            redis_ack_replicas=replicas,
            redis_ack_milliseconds=20,
        )
        connections = open_connections(settings, None)
        assert isinstance(connections, ShardedConnections)
        opened.append(connections)
        return JobQueue(connections.submitting, RETENTION, max_waiting=10, placement=connections.placement)

    yield open_queue
    for connections in opened:
        await connections.aclose()


async def shards_of(queue: JobQueue, count: int = 4 * COUNT) -> Counter[str | int]:
    """The shards of new jobs, and how many were refused."""
    found: Counter[str | int] = Counter()
    for _ in range(count):
        try:
            found[shard_of((await queue.submit(new_job(new_job_id()))).record.job_id, COUNT)] += 1
        except QueueUnavailable:
            found["refused"] += 1
    return found


async def until_all_shards_get_jobs(queue: JobQueue) -> None:
    while set(await shards_of(queue)) != HERE | THERE:
        pass


async def test_a_submission_waits_for_the_replicas_of_its_own_primary(open_queue, primaries):
    here, there = primaries
    found = await shards_of(open_queue(1), COUNT)
    assert found == dict.fromkeys(HERE | THERE, 1)
    assert here.waits == there.waits == [["1", "20"]] * 2


async def test_after_one_refusal_a_shard_without_replicas_gets_no_job_until_it_has_them(
    open_queue, primaries
):
    queue = open_queue(1)
    primaries[0].confirming = 0
    found = await shards_of(queue)
    assert found["refused"] == len(HERE)
    assert set(found) == THERE | {"refused"}
    assert await shards_of(queue) == dict.fromkeys(THERE, 2 * COUNT)
    probed = len(primaries[0].waits)
    await until(lambda: len(primaries[0].waits) > probed)  # without a submission
    primaries[0].confirming = 1
    await until_all_shards_get_jobs(queue)


async def test_a_shard_gets_jobs_again_although_a_probe_ends_in_an_unknown_error(
    open_queue, primaries, monkeypatch
):
    probe, errors = module.ReplicaProbe.succeeds, [RuntimeError("unknown")]

    async def fail_once(self: module.ReplicaProbe) -> bool:
        if errors:
            raise errors.pop()
        return await probe(self)

    monkeypatch.setattr(module.ReplicaProbe, "succeeds", fail_once)
    queue = open_queue(1)
    primaries[0].confirming = 0
    await shards_of(queue)
    primaries[0].confirming = 1
    await until_all_shards_get_jobs(queue)
    assert not errors


@pytest.mark.parametrize("replicas", [0, 1])
async def test_the_same_holds_for_a_primary_that_takes_no_writes_without_replicas(
    open_queue, primaries, replicas, monkeypatch
):
    monkeypatch.setattr("shared.store.multiplexer.PAUSE_BEFORE_REPEAT", 2.0)  # more than its patience
    queue = open_queue(replicas)
    await shards_of(queue)
    primaries[0].refuses = True
    found = await shards_of(queue)
    assert found["refused"] == len(HERE)
    assert not queue.missing.numbers  # it answers reads
    assert await shards_of(queue) == dict.fromkeys(THERE, 2 * COUNT)
    primaries[0].refuses = False
    await until_all_shards_get_jobs(queue)


async def test_a_shard_that_refuses_a_write_for_lack_of_replicas_is_missing_in_this_call_alone(
    open_queue, primaries, monkeypatch
):
    monkeypatch.setattr("shared.store.multiplexer.PAUSE_BEFORE_REPEAT", 2.0)
    queue = open_queue(0)
    primaries[0].refuses = True
    with queue.missing.noted() as missing:
        while not (await shards_of(queue, 1))["refused"]:
            pass
    [shard] = missing
    assert shard in HERE
    with queue.missing.noted() as missing:
        await queue.ping()
    assert not missing


async def test_a_job_with_a_key_goes_to_the_shard_of_the_key_whatever_it_lacks(open_queue, primaries):
    queue = open_queue(1)
    primaries[0].confirming = 0
    key = next(key for key in map(str, range(100)) if crc32(f"-:{key}".encode()) % COUNT in HERE)
    for _ in range(2):
        with pytest.raises(QueueUnavailable, match="0 of 1 replicas have confirmed"):
            await queue.submit(new_job(new_job_id(), idempotency_key=key))


async def test_a_submission_that_was_written_goes_to_no_other_shard(open_queue, primaries):
    """Its removal would need the replicas too, so there could be two jobs."""
    queue = open_queue(1)
    for primary in primaries:
        primary.confirming = 0
    with pytest.raises(QueueUnavailable, match="it may be lost"):
        await queue.submit(new_job(new_job_id()))
    commands = chain(*(primary.server.commands for primary in primaries))
    assert sum(name == "EVALSHA" for name, *_ in commands) == 1


async def test_while_all_shards_lack_replicas_each_submission_tries_one(open_queue, primaries, monkeypatch):
    monkeypatch.setattr(module, "PROBE_SECONDS", 3600.0)
    queue = open_queue(1)
    for primary in primaries:
        primary.confirming = 0
    assert await shards_of(queue) == {"refused": 4 * COUNT}
    for primary in primaries:
        primary.confirming = 1
    assert await shards_of(queue) == dict.fromkeys(HERE | THERE, 4)
