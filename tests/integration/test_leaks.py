"""The search for leftover keys finds each kind of them."""

import pytest

from shared.store import redis_keys
from shared.store.job_leases import OutcomeKind


async def test_an_empty_redis_has_no_leaks(server, find_leaks):
    assert await find_leaks(server) == []


async def test_a_job_that_is_not_done_is_a_leak(submit, server, find_leaks):
    await submit("a")
    assert await find_leaks(server) == [
        "arq:job:a is left over",
        "arq:queue:default is left over",
        "jobs:record:a never expires",
        "jobs:wake:default is left over",
    ]


async def test_a_lease_is_a_leak(submit, worker, server, find_leaks):
    await submit("a")
    await worker.claim_one()
    assert "jobs:leases:default is left over" in await find_leaks(server)


@pytest.mark.parametrize("key", ["stray", "jobs:", "jobs:record:", "arq:in-progress:a", "jobs:index:a:b"])
async def test_a_key_that_is_not_in_the_table_is_a_leak(key, server, find_leaks):
    await server.hset(key, "a", 1)
    assert f"{key} (hash) is not in the table of keys" in await find_leaks(server)


async def test_a_key_of_another_type_than_the_table_says_is_a_leak(server, find_leaks):
    await server.set(redis_keys.INDEX, "a")
    assert await find_leaks(server) == ["jobs:index (string) is not in the table of keys"]


async def test_a_finished_record_without_an_end_is_a_leak(submit, worker, server, find_leaks):
    await submit("a")
    await worker.finish(await worker.claim_one(), OutcomeKind.COMPLETED, b"1")
    await worker.step(slots=1)
    assert await find_leaks(server) == []
    await server.persist(redis_keys.RECORD + "a")
    assert await find_leaks(server) == ["jobs:record:a never expires"]
