"""Changes: watches are woken by changes of their records, over one connection that is renewed."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from dev.stack import Stack, free_port
from shared.errors import QueueUnavailable
from shared.store import redis_keys
from shared.store.changes import AT_ONCE, Changes, Watch
from shared.store.client import connect

SOON = 30.0  # seconds in which anything that should happen does


@pytest.fixture
async def changes(redis_stack: Stack, redis: Redis) -> AsyncIterator[Changes]:
    """Changes of an API process, on the real Redis."""
    changes = Changes(connect(redis_stack.redis_url))
    yield changes
    await changes.aclose()


async def publish(redis: Redis, job_id: str, *, version: int = 2, done: bool = False) -> None:
    await redis.publish(redis_keys.CHANGES + job_id, f"{version} done" if done else version)


async def woken(*watches: Watch) -> bool:
    return all([await watch.changed(within=SOON) for watch in watches])


async def asleep(watch: Watch) -> bool:
    return not await watch.changed(within=0)


async def channels(redis: Redis) -> set[str]:
    return {name.decode().removeprefix(redis_keys.CHANGES) for name in await redis.pubsub_channels()}


async def listeners(redis: Redis) -> list[str]:
    """Ids of the connections that are subscribed to a channel."""
    return [str(client["id"]) for client in await redis.client_list(_type="pubsub")]


# -- changes that wake


async def test_a_watch_is_woken_by_its_own_record_only(changes: Changes, redis: Redis):
    async with changes.watch("a") as a, changes.watch("b") as b:
        await publish(redis, "b")
        assert await woken(b)
        assert await asleep(a)


async def test_a_watch_is_woken_by_each_change(changes: Changes, redis: Redis):
    async with changes.watch("a") as watch:
        for version in range(2, 12):
            await publish(redis, "a", version=version)
            assert await woken(watch)
        assert await asleep(watch)


async def test_a_change_that_came_before_it_was_asked_for_is_not_missed(changes: Changes, redis: Redis):
    async with changes.watch("a") as a, changes.watch("b") as b:
        await publish(redis, "a")
        await publish(redis, "b")
        assert await woken(b)
        assert await a.changed(within=0)


async def test_who_waits_for_the_end_sleeps_until_then(changes: Changes, redis: Redis):
    async with changes.watch("a", only_done=True) as patient, changes.watch("a") as curious:
        await publish(redis, "a")
        assert await woken(curious)
        assert await asleep(patient)
        await publish(redis, "a", done=True)
        assert await woken(curious, patient)


async def test_all_who_watch_a_record_are_woken(changes: Changes, redis: Redis):
    async with changes.watch("a") as first, changes.watch("a") as second, changes.watch("a") as third:
        await publish(redis, "a")
        assert await woken(first, second, third)


# -- cost


async def test_all_watches_share_one_connection(changes: Changes, redis: Redis):
    async with changes.watch("a"), changes.watch("a"), changes.watch("b"), changes.watch("c"):
        assert await channels(redis) == {"a", "b", "c"}
        assert len(await listeners(redis)) == 1


async def test_a_channel_is_left_with_its_last_watch(changes: Changes, redis: Redis):
    async with changes.watch("b") as b:
        async with changes.watch("a"):
            async with changes.watch("a"):
                pass
            assert await channels(redis) == {"a", "b"}
        await publish(redis, "b")
        assert await woken(b)
        assert await channels(redis) == {"b"}


async def test_a_channel_that_was_left_can_be_watched_again(changes: Changes, redis: Redis):
    for _ in range(10):
        async with changes.watch("a") as watch:
            await publish(redis, "a")
            assert await woken(watch)


async def test_a_watch_that_is_cancelled_leaves_its_channel(changes: Changes, redis: Redis):
    async def wait() -> None:
        async with changes.watch("a") as watch:
            await watch.changed()

    async with changes.watch("b") as b:
        waiting = asyncio.create_task(wait())
        async with changes.watch("a") as a:
            await publish(redis, "a")
            assert await woken(a)
        waiting.cancel()
        await asyncio.wait([waiting])
        await publish(redis, "b")
        assert await woken(b)
        assert await channels(redis) == {"b"}


# -- lost connections


async def cut(redis: Redis) -> None:
    """Close the connections that listen, as Redis or the network may."""
    assert await redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub") >= 1


async def test_a_cut_connection_is_opened_again_and_wakes_all(changes: Changes, redis: Redis):
    async with changes.watch("a") as a, changes.watch("b", only_done=True) as b:
        await cut(redis)
        assert await woken(a, b)  # for both may have missed a change
        await publish(redis, "a")
        await publish(redis, "b", done=True)
        assert await woken(a, b)
        assert len(await listeners(redis)) == 1


async def test_a_connection_that_is_cut_again_and_again_is_opened_again_and_again(
    changes: Changes, redis: Redis
):
    async with changes.watch("a") as watch:
        for _ in range(5):
            await cut(redis)
            assert await woken(watch)


async def test_an_unknown_error_ends_no_watch(
    changes: Changes, redis: Redis, monkeypatch: pytest.MonkeyPatch
):
    ask, errors = changes._runner.execute_command, [RuntimeError("unknown")]

    async def fail_once(name: str, *words: Any) -> Any:
        if errors:
            raise errors.pop()
        return await ask(name, *words)

    async with changes.watch("a") as watch:
        monkeypatch.setattr(changes._runner, "execute_command", fail_once)
        await cut(redis)
        assert await woken(watch)
        assert not errors


async def test_many_watches_survive_a_cut(changes: Changes, redis: Redis):
    async def wait(job_id: str) -> bool:
        async with changes.watch(job_id) as watch:
            ready.release()
            return await woken(watch) and await woken(watch)

    ready, ids = asyncio.Semaphore(0), [str(number) for number in range(2 * AT_ONCE + 1)]
    waiting = [asyncio.create_task(wait(job_id)) for job_id in ids]
    for _ in ids:
        await ready.acquire()
    await cut(redis)
    async with changes.watch("last") as last:
        assert await woken(last)
    for job_id in ids:
        await publish(redis, job_id)

    assert all(await asyncio.gather(*waiting))


async def test_a_connection_that_is_cut_while_nobody_watches_is_not_missed(changes: Changes, redis: Redis):
    async with changes.watch("a"):
        pass
    await redis.execute_command("CLIENT", "KILL", "SKIPME", "yes")
    async with changes.watch("a") as watch:
        await publish(redis, "a", done=True)
        assert await woken(watch)


async def test_a_redis_that_is_away_is_told_within_two_seconds():
    changes = Changes(connect(f"redis://127.0.0.1:{free_port()}/0"))
    begun = time.monotonic()
    with pytest.raises(QueueUnavailable):
        async with changes.watch("a"):
            pass
    assert time.monotonic() - begun < 2
    await changes.aclose()


# -- the end


async def test_at_the_end_every_watch_is_over_and_so_is_each_that_comes(changes: Changes):
    async with changes.watch("a") as early, changes.watch("b", only_done=True) as other:
        changes.end_all()
        assert await woken(early, other)
        async with changes.watch("c") as late:
            assert early.over
            assert other.over
            assert late.over


async def test_a_watch_can_be_ended_alone(changes: Changes):
    async with changes.watch("a") as leaving, changes.watch("a") as staying:
        leaving.end()
        assert await woken(leaving)
        assert leaving.over
        assert not staying.over
        assert await asleep(staying)


async def test_nothing_listens_once_it_is_closed(redis_stack: Stack, redis: Redis):
    changes = Changes(connect(redis_stack.redis_url))
    async with changes.watch("a"):
        assert len(await listeners(redis)) == 1
    await changes.aclose()
    async with asyncio.timeout(SOON):
        while await listeners(redis):
            await asyncio.sleep(0.01)
