"""The output of a job: numbered, each chunk once, of the last claim alone, and removed with the record."""

import orjson
import pytest

from shared.errors import JobExpired, JobNotFound
from shared.store import redis_keys
from shared.store.job_leases import AttemptReport, Finished, Outcome, OutcomeKind
from shared.store.job_output import OUTPUT_AT_ONCE

ERROR = b'{"code":"e","message":"m","hint":"h","retryable":true,"attempt":1}'
COMPLETED = Outcome(OutcomeKind.COMPLETED, b"1")


def chunks(first: int, last: int, word: str = "chunk") -> bytes:
    """Some chunks of an attempt, by their numbers, as a worker sends them."""
    return b"\n".join(b'%d "%b %d"' % (n, word.encode(), n) for n in range(first, last + 1))


async def read(job_queue, job_id: str = "a", **options) -> list[str]:
    return [orjson.loads(chunk) for chunk in (await job_queue.output(job_id, **options)).chunks]


async def test_chunks_come_in_their_order_while_the_job_runs(submit, worker, job_queue, job_leases):
    await submit("a")
    claim = await worker.claim_one()
    assert await job_queue.output("a") == (1, 1, 0, False, 1, [])
    await job_leases.report([AttemptReport(claim, output=chunks(1, 1))])
    await job_leases.report([AttemptReport(claim, output=chunks(2, 3))])
    assert await job_queue.output("a") == (1, 1, 3, False, 1, [b'"chunk 1"', b'"chunk 2"', b'"chunk 3"'])
    assert await read(job_queue, claim=1, after=2) == ["chunk 3"]
    assert (await job_queue.output("a", claim=1, after=2)).first == 3
    assert await read(job_queue, claim=7, after=2) == ["chunk 1", "chunk 2", "chunk 3"]


async def test_output_alone_raises_no_version(submit, worker, job_queue, job_leases):
    await submit("a")
    claim = await worker.claim_one()
    await job_leases.report([AttemptReport(claim, output=chunks(1, 1))])
    assert (await job_queue.get("a")).version == 2
    await job_leases.report([AttemptReport(claim, b'{"fraction":1}', output=chunks(2, 2))])
    assert (await job_queue.get("a")).version == 3


async def test_chunks_that_are_sent_again_are_written_once(submit, worker, job_queue, job_leases):
    await submit("a")
    claim = await worker.claim_one()
    await job_leases.report([AttemptReport(claim, output=chunks(1, 2))])
    await job_leases.report([AttemptReport(claim, output=chunks(1, 3))])
    done = Finished(claim, COMPLETED, output=chunks(2, 4))
    await worker.step(done, number=7)
    await worker.step(done, number=7)
    assert await read(job_queue) == ["chunk 1", "chunk 2", "chunk 3", "chunk 4"]
    assert (await job_queue.output("a")).ended


@pytest.mark.parametrize("outcome", [Outcome(OutcomeKind.RETRY, ERROR), Outcome(OutcomeKind.RELEASED)])
async def test_the_next_claim_begins_the_output_anew(outcome, submit, worker, job_queue, job_leases):
    await submit("a")
    await worker.step(Finished(await worker.claim_one(), outcome, output=chunks(1, 3, "first")))
    assert await read(job_queue) == ["first 1", "first 2", "first 3"]
    claim = await worker.claim_one()
    assert await job_queue.output("a", claim=1, after=3) == (2, claim.attempt, 0, False, 1, [])
    await job_leases.report([AttemptReport(claim, output=chunks(1, 1, "second"))])
    assert await read(job_queue, claim=1, after=1) == ["second 1"]


async def test_a_completed_attempt_without_output_shows_none_of_an_earlier_one(submit, worker, job_queue):
    await submit("a")
    retry = Outcome(OutcomeKind.RETRY, ERROR)
    await worker.step(Finished(await worker.claim_one(), retry, output=chunks(1, 3)))
    await worker.step(Finished(await worker.claim_one(), COMPLETED))
    assert await job_queue.output("a") == (2, 2, 0, True, 1, [])


async def test_a_worker_that_has_lost_the_lease_writes_nothing(submit, worker, other, job_queue, job_leases):
    await submit("a")
    late = await worker.claim_one()
    await worker.lose(late)
    await other.step(slots=1)
    await job_leases.report([AttemptReport(late, output=chunks(1, 1))])
    await worker.step(Finished(late, COMPLETED, output=chunks(1, 1)))
    assert await read(job_queue) == []


async def test_much_output_is_read_in_parts(submit, worker, job_queue, job_leases):
    await submit("a")
    claim = await worker.claim_one()
    await job_leases.report([AttemptReport(claim, output=chunks(1, 12_000))])
    found = await job_queue.output("a")
    assert (found.total, len(found.chunks)) == (12_000, OUTPUT_AT_ONCE)
    assert await read(job_queue, claim=1, after=11_999) == ["chunk 12000"]


@pytest.mark.parametrize("kind", [OutcomeKind.COMPLETED, OutcomeKind.FAILED, OutcomeKind.CANCELLED])
@pytest.mark.parametrize("early", [True, False])
async def test_the_output_expires_with_the_record(early, kind, submit, worker, job_leases, server):
    await submit("a")
    claim = await worker.claim_one()
    if early:
        await job_leases.report([AttemptReport(claim, output=chunks(1, 1))])
        assert await server.ttl(redis_keys.OUTPUT + "a") == -1
    await worker.step(Finished(claim, Outcome(kind, ERROR), output=b"" if early else chunks(1, 1)))
    assert abs(await server.pttl(redis_keys.OUTPUT + "a") - await server.pttl(redis_keys.RECORD + "a")) < 50


async def test_a_waiting_job_that_is_cancelled_takes_its_output_along(submit, worker, job_queue, server):
    await submit("a")
    retry = Outcome(OutcomeKind.RETRY, ERROR, 60_000)
    await worker.step(Finished(await worker.claim_one(), retry, output=chunks(1, 1)))
    await job_queue.cancel("a")
    assert 0 < await server.ttl(redis_keys.OUTPUT + "a") <= 300


async def test_the_output_of_no_job(submit, job_queue, server):
    with pytest.raises(JobNotFound, match="No job has the id"):
        await job_queue.output("a")
    await submit("a")
    with pytest.raises(JobNotFound):
        await job_queue.output("a", owner="somebody")
    await server.delete(redis_keys.RECORD + "a")
    with pytest.raises(JobExpired):
        await job_queue.output("a")
