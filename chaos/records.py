"""Records of jobs and starts of handlers, read past the API, and the checks that most scenarios share."""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.checks import Check, exactly
from dev.cluster import RedisCluster
from shared.ids import shard_of
from shared.record import TERMINAL_STATES
from shared.store import redis_keys
from shared.store.slots import slot_of, tag_of

Record = dict[str, str]
CHUNK = 500
STARTS_FILE = "starts"  # in the stack's folder: every worker appends the starts of its handlers


@dataclass(frozen=True, slots=True)
class HandlerStart:
    """The start of a handler; `at` is in `time.time()`."""

    attempt: int
    pid: int
    at: float


def read(redis: Any, job_ids: Sequence[str]) -> dict[str, Record]:
    """The records by job id, as text; a missing record is empty."""
    found: dict[str, Record] = {}
    for first in range(0, len(job_ids), CHUNK):
        chunk = job_ids[first : first + CHUNK]
        pipeline = redis.pipeline(transaction=False)
        for job_id in chunk:
            pipeline.hgetall(redis_keys.RECORD + job_id)
        for job_id, fields in zip(chunk, pipeline.execute(), strict=True):
            found[job_id] = {name.decode(): value.decode() for name, value in fields.items()}
    return found


class ShardedRecords:
    """The shards of a cluster, in the place of one client, for `read` and `settled`.

    Args:
        cluster: the cluster, whose nodes agree on its primaries.
        shards: the number of shards.
    """

    def __init__(self, cluster: RedisCluster, shards: int) -> None:
        self._cluster = cluster
        self._shards = shards

    def pipeline(self, *, transaction: bool) -> "_ShardedReads":
        return _ShardedReads(self._cluster, self._shards)


class _ShardedReads:
    def __init__(self, cluster: RedisCluster, shards: int) -> None:
        self._cluster = cluster
        self._shards = shards
        self._keys: list[str] = []

    def hgetall(self, key: str) -> None:
        self._keys.append(key)

    def execute(self) -> list[dict[bytes, bytes]]:
        found: dict[str, dict[bytes, bytes]] = {}
        for shard in {shard_of(key, self._shards) for key in self._keys}:
            tag = tag_of(shard)
            keys = [key for key in self._keys if shard_of(key, self._shards) == shard]
            pipeline = self._cluster.primary_of(slot_of(tag)).pipeline(transaction=False)
            for key in keys:
                pipeline.hgetall(tag + key)
            found |= zip(keys, pipeline.execute(), strict=True)
        return [found[key] for key in self._keys]


def is_done(record: Record) -> bool:
    return record.get("state") in TERMINAL_STATES


def settled(redis: Any, job_ids: Sequence[str], *, seconds: float) -> dict[str, Record]:
    """The records once every job has ended, or as they are after `seconds`."""
    end = time.monotonic() + seconds
    found: dict[str, Record] = {}
    open_ids = list(job_ids)
    while True:
        found |= read(redis, open_ids)
        open_ids = [job_id for job_id in open_ids if found[job_id] and not is_done(found[job_id])]
        if not open_ids or time.monotonic() > end:
            return found
        time.sleep(0.2)


def ended_more_than_once(records: Iterable[Record]) -> list[Record]:
    """Ended jobs whose version is wrong: 1 for the submission, and 2 for each claim and its end."""
    return [r for r in records if is_done(r) and int(r["version"]) != 1 + 2 * int(r.get("claims", 0))]


def check_ends(name: str, records: dict[str, Record]) -> list[Check]:
    """Check that no job is lost, and that each ended once."""
    lost = [job_id for job_id, record in records.items() if not is_done(record)]
    twice = ended_more_than_once(records.values())
    example = f", as {lost[0]} {records[lost[0]].get('state')}" if lost else ""
    return [
        exactly(f"{name}: acknowledged jobs lost", len(lost), 0, note=f" of {len(records):,}{example}"),
        exactly(f"{name}: jobs that did not end exactly once", len(twice), 0),
    ]


def count_charged(records: Iterable[Record]) -> int:
    """The number of jobs that were charged for a fault: a second attempt, an error, or a missing record."""
    return sum(not r or int(r.get("attempt", 0)) > 1 or "errors" in r for r in records)


def read_starts(folder: Path) -> dict[str, list[HandlerStart]]:
    """The starts of each job's handler, in order of time; `folder` is the stack's."""
    starts: dict[str, list[HandlerStart]] = defaultdict(list)
    file = folder / STARTS_FILE
    for line in file.read_text().splitlines() if file.exists() else []:
        job_id, attempt, pid, at = line.split()
        starts[job_id].append(HandlerStart(int(attempt), int(pid), float(at)))
    for found in starts.values():
        found.sort(key=lambda start: start.at)
    return starts
