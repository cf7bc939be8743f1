"""Outcomes in the store: an attempt ends once, and only by the worker that holds its lease."""

import time

import orjson
import pytest

from shared.errors import JobExpired, JobNotFound
from shared.record import JobState
from shared.store import redis_keys
from shared.store.job_leases import Finished, Outcome, OutcomeKind
from shared.store.job_list import Filters

ERROR = b'{"code":"e","message":"m","hint":"h","retryable":true,"attempt":1}'
ENDS = [
    (OutcomeKind.COMPLETED, b'{"x":1}', JobState.COMPLETED, 100),
    (OutcomeKind.FAILED, ERROR, JobState.FAILED, 200),
    (OutcomeKind.CANCELLED, b"", JobState.CANCELLED, 300),
]


@pytest.mark.parametrize(("kind", "body", "state", "kept"), ENDS)
async def test_a_finished_job_is_kept_for_its_time(
    kind, body, state, kept, submit, worker, job_queue, server, find_leaks, indexes_agree
):
    await submit("a")
    assert await worker.finish(await worker.claim_one(), kind, body)
    record = await job_queue.get("a")
    assert (record.state, record.done, record.version) == (state, True, 3)
    assert 0 <= kept - await server.ttl(redis_keys.RECORD + "a") <= 2
    finished, expires = int(record.fields[b"finished_at"]), int(record.fields[b"expires_at"])
    assert expires - finished == kept * 1000
    await indexes_agree()
    await worker.step(slots=1)
    assert await find_leaks(server) == []


async def test_a_result_and_the_last_progress_are_kept(submit, worker, job_queue):
    await submit("a")
    outcome = Outcome(OutcomeKind.COMPLETED, b'{"x":1}')
    await worker.step(Finished(await worker.claim_one(), outcome, b'{"fraction":1.0,"message":"all"}'))
    fields = (await job_queue.get("a")).fields
    assert fields[b"result"] == b'{"x":1}'
    assert orjson.loads(fields[b"progress"]) == {"fraction": 1.0, "message": "all"}


async def test_a_failure_is_written_with_its_time(submit, worker, job_queue):
    await submit("a")
    await worker.finish(await worker.claim_one(), OutcomeKind.FAILED, ERROR)
    (error,) = (await job_queue.get("a")).parse().errors
    assert (error.code, error.message, error.hint, error.retryable, error.attempt) == ("e", "m", "h", True, 1)
    assert abs(error.at.timestamp() - time.time()) < 10


async def test_a_retry_waits_for_its_backoff(submit, worker, job_queue, due, indexes_agree):
    await submit("a")
    assert await worker.finish(await worker.claim_one(), OutcomeKind.RETRY, ERROR, delay=60_000)
    record = (await job_queue.get("a")).parse()
    assert (record.state, record.attempt, record.version, len(record.errors)) == ("pending", 1, 3, 1)
    assert record.started_at is None
    assert 55 < record.run_at.timestamp() - time.time() <= 61
    step = await worker.step(slots=1)
    assert step.claims == []
    assert 55 < step.wait <= 60
    await indexes_agree()
    await due("a")
    claim = await worker.claim_one()
    assert (claim.attempt, claim.fencing_token) == (2, 2)
    await worker.finish(claim, OutcomeKind.FAILED, ERROR)
    assert len((await job_queue.get("a")).parse().errors) == 2


async def test_a_released_attempt_is_not_charged(submit, worker, job_queue, server, indexes_agree):
    await submit("a")
    claim = await worker.claim_one()
    await server.delete(redis_keys.WAKE + "default")
    assert await worker.finish(claim, OutcomeKind.RELEASED)
    record = (await job_queue.get("a")).parse()
    assert (record.state, record.attempt, record.errors, record.version) == ("pending", 0, [], 3)
    assert await server.llen(redis_keys.WAKE + "default") == 1
    await indexes_agree()
    claim = await worker.claim_one()
    assert (claim.attempt, claim.fencing_token) == (1, 2)


async def test_a_released_job_can_wait_a_while(submit, worker, server):
    await submit("a")
    claim = await worker.claim_one()
    await server.delete(redis_keys.WAKE + "default")
    await worker.finish(claim, OutcomeKind.RELEASED, delay=60_000)
    assert await server.exists(redis_keys.WAKE + "default") == 0
    assert await worker.claim() == []


@pytest.mark.parametrize("kind", list(OutcomeKind))
async def test_a_late_outcome_changes_nothing(kind, submit, worker, other, job_queue, indexes_agree):
    await submit("a")
    late = await worker.claim_one()
    await worker.lose(late)
    current = (await other.step(slots=1)).claims[0]
    assert current.lease == "2:a"
    before = await job_queue.get("a")
    assert not await worker.finish(late, kind, ERROR)
    assert await job_queue.get("a") == before
    await indexes_agree()
    assert await other.finish(current, OutcomeKind.COMPLETED, b"1")


@pytest.mark.parametrize("kind", list(OutcomeKind))
@pytest.mark.parametrize("max_attempts", [1, 3])
async def test_a_late_outcome_is_refused_even_if_nobody_has_claimed_the_job_since(
    kind, max_attempts, submit, worker, other, job_queue
):
    await submit("a", max_attempts=max_attempts)
    late = await worker.claim_one()
    await worker.lose(late)
    await other.step()
    before = await job_queue.get("a")
    accepted = await worker.finish(late, kind, ERROR)
    assert await job_queue.get("a") == before
    assert not accepted, f"the job is {before.state} for another reason; the outcome was not written"


@pytest.mark.parametrize(("kind", "body", "state", "_"), ENDS)
async def test_a_late_outcome_is_refused_even_if_the_job_has_ended_in_the_same_way(
    kind, body, state, _, submit, worker, other, job_queue
):
    await submit("a")
    late = await worker.claim_one()
    await worker.lose(late)
    (current,) = (await other.step(slots=1)).claims
    assert await other.finish(current, kind, body)
    before = await job_queue.get("a")
    assert before.state is state
    assert not await worker.finish(late, kind, body)
    assert await job_queue.get("a") == before


@pytest.mark.parametrize("kind", list(OutcomeKind))
async def test_an_outcome_for_a_job_that_is_gone_leaves_no_trace(kind, submit, worker, server):
    await submit("a")
    claim = await worker.claim_one()
    await server.flushall()
    assert not await worker.finish(claim, kind, ERROR)
    assert [key async for key in server.scan_iter(match="*:a")] == []


@pytest.mark.parametrize("kind", list(OutcomeKind))
async def test_an_outcome_for_a_record_that_is_gone_leaves_no_record(kind, submit, worker, server):
    await submit("a")
    claim = await worker.claim_one()
    await server.delete(redis_keys.RECORD + "a")
    assert not await worker.finish(claim, kind, ERROR)
    assert not await server.exists(redis_keys.RECORD + "a")
    assert await server.zcard(redis_keys.LEASES + "default") == 0


@pytest.mark.parametrize("kind", list(OutcomeKind))
async def test_a_repeated_outcome_counts_once_and_is_accepted_again(kind, submit, worker, job_queue):
    await submit("a")
    done = Finished(await worker.claim_one(), Outcome(kind, ERROR, 60_000))
    assert (await worker.step(done, number=7)).accepted == [True]
    before = await job_queue.get("a")
    assert (await worker.step(done, number=7)).accepted == [True]
    assert await job_queue.get("a") == before


@pytest.mark.parametrize("kind", [OutcomeKind.RETRY, OutcomeKind.RELEASED])
async def test_a_repeat_is_also_accepted_if_the_job_was_to_be_cancelled(kind, submit, worker, job_queue):
    await submit("a")
    done = Finished(await worker.claim_one(), Outcome(kind, ERROR, 60_000))
    await job_queue.cancel("a")
    assert (await worker.step(done, number=7)).accepted == [True]
    before = await job_queue.get("a")
    assert before.state is JobState.CANCELLED
    assert (await worker.step(done, number=7)).accepted == [True]
    assert await job_queue.get("a") == before


async def test_a_different_late_outcome_is_refused(submit, worker, job_queue):
    await submit("a")
    claim = await worker.claim_one()
    await worker.finish(claim, OutcomeKind.COMPLETED, b"1")
    assert not await worker.finish(claim, OutcomeKind.FAILED, ERROR)
    assert (await job_queue.get("a")).state is JobState.COMPLETED


async def test_a_repeated_release_does_not_steal_the_next_lease(submit, worker, other, job_queue, server):
    await submit("a")
    first = await worker.claim_one()
    await worker.finish(first, OutcomeKind.RELEASED)
    second = await other.claim_one()
    assert first.attempt == second.attempt
    before = await job_queue.get("a")
    assert not await worker.finish(first, OutcomeKind.RELEASED)
    assert await job_queue.get("a") == before
    assert await server.zscore(redis_keys.LEASES + "default", second.lease)
    assert await other.finish(second, OutcomeKind.COMPLETED, b"1")


async def test_a_step_finishes_a_batch_and_claims_the_next(submit, worker, job_queue, indexes_agree):
    for n in range(6):
        await submit(f"job-{n}")
    claims = await worker.claim(slots=4)
    kinds = [OutcomeKind.COMPLETED, OutcomeKind.FAILED, OutcomeKind.CANCELLED, OutcomeKind.RETRY]
    batch = [Finished(c, Outcome(k, ERROR, 60_000)) for c, k in zip(claims, kinds, strict=True)]
    step = await worker.step(*batch, slots=5)
    assert step.accepted == [True] * 4
    assert [claim.job_id for claim in step.claims] == ["job-4", "job-5"]
    states = {state.value: count for state, count in (await job_queue.state_counts()).items()}
    assert states == {"pending": 1, "running": 2, "completed": 1, "failed": 1, "cancelled": 1}
    await indexes_agree()


@pytest.mark.parametrize(("kind", "body", "state", "_"), ENDS)
async def test_indexes_forget_retired_jobs(kind, body, state, _, submit, worker, upkeep, server):
    for name in ("old", "young"):
        await submit(name)
        await worker.finish(await worker.claim_one(), kind, body)
    await server.zadd(redis_keys.INDEX_OF + state, {"old": 1}, xx=True)
    await upkeep.run(["default"])
    assert await server.zrange(redis_keys.INDEX_OF + state, 0, -1) == [b"young"]
    assert await server.zrange(redis_keys.INDEX, 0, -1) == [b"young"]


@pytest.mark.parametrize(("kind", "body", "state", "kept"), ENDS)
async def test_for_as_long_again_it_is_known_that_a_job_has_expired(
    kind, body, state, kept, submit, worker, job_queue, upkeep, server
):
    await submit("old")
    await worker.finish(await worker.claim_one(), kind, body)
    await server.delete(redis_keys.RECORD + "old")
    for age in (1, kept - 5):
        await server.zadd(redis_keys.INDEX_OF + state, {"old": (time.time() - age) * 1000})
        await upkeep.run(["default"])
        for call in (job_queue.get, job_queue.cancel):
            with pytest.raises(JobExpired, match="'old' has ended"):
                await call("old")
    assert (await job_queue.state_counts())[state] == 0
    assert (await job_queue.page(Filters(state=state), limit=9, after=None)).records == []
    assert (await job_queue.page(Filters(), limit=9, after=None)).records == []
    await server.zadd(redis_keys.INDEX_OF + state, {"old": (time.time() - kept - 5) * 1000})
    await upkeep.run(["default"])
    with pytest.raises(JobNotFound, match="No job has the id 'old'"):
        await job_queue.get("old")


async def test_every_tenth_step_prunes_the_indexes_too(submit, worker, server):
    for name in ("old", "young"):
        await submit(name)
        await worker.finish(await worker.claim_one(), OutcomeKind.COMPLETED, b"1")
    await server.zadd(redis_keys.INDEX_OF + "completed", {"old": 1}, xx=True)
    for _ in range(10):
        await worker.step(slots=0)
    assert await server.zrange(redis_keys.INDEX, 0, -1) == [b"young"]


# -- places in the queue


@pytest.mark.parametrize("kind", [OutcomeKind.RELEASED, OutcomeKind.RETURNED])
async def test_a_job_that_is_handed_back_keeps_its_place(submit, worker, job_queue, kind):
    await submit("a")
    claim = await worker.claim_one()
    await submit("b")
    assert await worker.finish(claim, kind)
    assert (await job_queue.get("a")).position == 1
    assert (await worker.claim_one()).job_id == "a"


async def test_a_retried_job_that_is_handed_back_keeps_the_place_of_its_retry(submit, worker, job_queue):
    await submit("m")  # named so that their order holds within one millisecond, too
    first = await worker.claim_one()
    await submit("a")
    await worker.finish(first, OutcomeKind.RETRY, b'{"code":"x"}')
    claims = [await worker.claim_one(), await worker.claim_one()]
    assert [claim.job_id for claim in claims] == ["a", "m"]
    await submit("z")
    for claim in claims:
        await worker.finish(claim, OutcomeKind.RETURNED)
    assert [claim.job_id for claim in await worker.claim(slots=3)] == ["a", "m", "z"]


async def test_a_returned_claim_charges_nothing_and_may_be_repeated(submit, worker, job_queue):
    await submit("a")
    claim = await worker.claim_one()
    assert await worker.finish(claim, OutcomeKind.RETURNED)
    assert await worker.finish(claim, OutcomeKind.RETURNED)
    record = await job_queue.get("a")
    assert (record.state, record.fields[b"attempt"], b"started_at" in record.fields) == (
        "pending",
        b"0",
        False,
    )
    assert (await worker.claim_one()).attempt == 1
    assert not await worker.finish(claim, OutcomeKind.RETURNED)


async def test_a_returned_claim_of_a_cancelled_job_ends_it(submit, worker, job_queue):
    await submit("a")
    claim = await worker.claim_one()
    await job_queue.cancel("a")
    await worker.finish(claim, OutcomeKind.RETURNED)
    assert (await job_queue.get("a")).state == "cancelled"


async def test_the_start_of_a_held_claim_is_written_with_its_end(submit, worker, job_queue):
    await submit("a")
    step = await worker.step(slots=1)
    outcome = Outcome(OutcomeKind.COMPLETED, b"1")
    await worker.step(Finished(step.claims[0], outcome, started_at=step.made_at + 7))
    assert int((await job_queue.get("a")).fields[b"started_at"]) == step.made_at + 7
