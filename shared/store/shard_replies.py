"""Replies of several shards as one: sums, lists in one order, parts by their ids."""

from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Any

from shared.ids import shard_of
from shared.store import scripts
from shared.store.client import Argument
from shared.store.missing_shards import ShardGone
from shared.store.rows import ListRow
from shared.store.scripts import Script

Words = list[Argument]
Place = tuple[float, bytes]
"""The place of a job in a list: its score and its id."""

AWAY = b"away"
END: list[Any] = [b"", b""]
PENDING, RUNNING = "pending", "running"


def estimated_position(reply: list[Any], shards: int) -> list[Any]:
    """A record whose queue position is an estimate: each shard has as many jobs before the job as its own."""
    position = reply[0]
    return [(position - 1) * shards + 1, *reply[1:]] if position > 0 else reply


async def by_ids(
    words: Words,
    first: int,
    shards: int,
    send: Callable[[int, Words], Awaitable[Any]],
    *,
    nested: bool = False,
) -> list[Any]:
    """The reply to a script for several ids, which may be on several shards, in the order of the ids.

    Args:
        words: those of the script; the ids are the last ones.
        first: the place of the first id.
        nested: the reply has a part for each id in its first element, and moves in its second one. The part
            of an id is AWAY if its shard gives no answer.

    Raises:
        ShardGone: a shard gives no answer, unless the reply is nested.
    """
    head, ids = words[:first], words[first:]
    parts: dict[int, list[int]] = {}
    for place, job_id in enumerate(ids):
        parts.setdefault(shard_of(str(job_id), shards), []).append(place)
    found: list[Any] = [None] * len(ids)
    moves: list[Any] = []
    for (
        shard,
        places,
    ) in parts.items():  # one after the other: each holds its Redis for as long as a script may
        try:
            reply = await send(shard, [*head, *(ids[place] for place in places)])
        except ShardGone:
            if not nested:
                raise
            reply = [[AWAY] * len(places), []]
        if nested:
            reply, more = reply
            moves += more
        for place, part in zip(places, reply, strict=True):
            found[place] = part
    return [found, moves] if nested else found


def merge_lists(replies: Sequence[list[Any]], words: Words) -> list[Any]:
    """A page of all shards: their pages in one order, as far as each of them reaches."""
    row = ListRow(*words[: len(ListRow._fields)])  # type: ignore[arg-type]
    ends = [(float(score), last) for score, last, *_ in replies if last]
    reach = max(ends) if ends else None
    jobs = [
        (_place_of(job, str(row.state)), job) for job in chain.from_iterable(reply[2:] for reply in replies)
    ]
    jobs = [found for found in jobs if reach is None or found[0] >= reach]
    jobs.sort(key=lambda found: found[0], reverse=True)
    page: list[Any] = []
    room = int(row.bytes)
    for _, job in jobs[: int(row.limit)]:
        room -= sum(map(len, map(_bytes, job)))
        if page and room < 0:
            break
        page.append(job)
    if len(page) < len(jobs):
        reach = jobs[len(page) - 1][0]
    return [*(END if reach is None else [b"%.0f" % reach[0], reach[1]]), *page]


def _place_of(job: list[Any], state: str) -> Place:
    job_id, *pairs = job
    fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
    if state == RUNNING:
        return 0.0, job_id
    created_at = float(fields[b"created_at"])
    if state == PENDING:
        return max(created_at, float(fields.get(b"run_at", 0))), job_id
    return (float(fields[b"expires_at"]) if state else created_at), job_id


def _bytes(word: Any) -> bytes:
    return word if isinstance(word, bytes) else b"%d" % word


def merge_queues(replies: Sequence[list[Any]], _: Words) -> list[Any]:
    """The states of queues: sums, the oldest due time, a pause of any shard."""
    queues: dict[bytes, list[Any]] = {}
    for _now, *found in replies:
        for name, *state in found:
            before = queues.setdefault(name, [0, 0, 0, b"", b"", 0, 0, 0])
            oldest = min((due for due in (before[3], state[3]) if due), key=float, default=b"")
            sums = [
                one + other for one, other in zip(before[:3] + before[5:], state[:3] + state[5:], strict=True)
            ]
            queues[name] = [*sums[:3], oldest, before[4] or state[4], *sums[3:]]
    return [replies[0][0], *([name, *state] for name, state in queues.items())]


def merge_workers(replies: Sequence[list[Any]], _: Words) -> list[Any]:
    """The live workers, each once, as the shard knows it that has heard of it last."""
    workers: dict[bytes, list[Any]] = {}
    for _now, *found in replies:
        for worker in found:
            known = workers.get(worker[0])
            if known is None or float(worker[1]) > float(known[1]):
                workers[worker[0]] = worker
    return [max(reply[0] for reply in replies), *workers.values()]


def merge_history(replies: Sequence[list[Any]], _: Words) -> list[Any]:
    """The counts of each ten seconds, those of all shards in a row."""
    buckets: dict[bytes, list[Any]] = {}
    for at, *counts in chain.from_iterable(replies):
        buckets.setdefault(at, []).extend(counts)
    return [[at, *buckets[at]] for at in sorted(buckets, key=int)]


def merge_ended(replies: Sequence[list[Any]], words: Words) -> list[Any]:
    """The jobs that ended last on all shards together."""
    return sorted(chain.from_iterable(replies), key=lambda job: -int(job[3]))[: int(words[1])]


def merge_activity(replies: Sequence[list[Any]], _: Words) -> list[Any]:
    """The changes of all shards, until the earliest of their clocks."""
    now, total, ids, running = zip(*replies, strict=True)
    return [min(now), sum(total), [*chain(*ids)], [*chain(*running)]]


def merge_pruned(replies: Sequence[list[Any]], _: Words) -> list[Any]:
    return [max(looked for looked, _ in replies), [*chain(*(removed for _, removed in replies))]]


MERGED_SCRIPTS: dict[Script, Callable[[Sequence[Any], Words], Any]] = {
    scripts.LIST: merge_lists,
    scripts.QUEUES: merge_queues,
    scripts.WORKERS: merge_workers,
    scripts.HISTORY: merge_history,
    scripts.ENDED: merge_ended,
    scripts.ACTIVITY: merge_activity,
    scripts.FILE_PRUNE: merge_pruned,
    scripts.RUNNING: lambda replies, _: [*chain(*replies)],
    scripts.PROBE: lambda replies, _: [*dict.fromkeys(chain(*replies))],
}
MERGED_COMMANDS: dict[str, Callable[[Sequence[Any]], Any]] = {
    "ZCARD": sum,
    "ZCOUNT": sum,
    "SMEMBERS": lambda replies: [*dict.fromkeys(chain(*replies))],
}
