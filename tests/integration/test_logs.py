"""The log of a job: in order, each line once, bounded, and removed with the record."""

import orjson
import pytest

from shared.errors import JobExpired, JobNotFound
from shared.store import redis_keys
from shared.store.job_leases import AttemptReport, Finished, Outcome, OutcomeKind

ENDS = [OutcomeKind.COMPLETED, OutcomeKind.FAILED, OutcomeKind.CANCELLED]
ERROR = b'{"code":"e","message":"m","hint":"h","retryable":true,"attempt":1}'


def lines(first: int, last: int, *, age: int = 0) -> bytes:
    """Some lines of an attempt, by their numbers, as a worker sends them."""
    return b"\n".join(b'%d %d {"message":"line %d"}' % (n, age, n) for n in range(first, last + 1))


async def read(job_queue, job_id: str = "a", **options) -> list[str]:
    return [orjson.loads(line)["message"] for line in (await job_queue.logs(job_id, **options)).lines]


async def test_lines_are_numbered_dated_and_marked_with_the_version_that_announces_them(
    submit, worker, job_queue, job_leases
):
    await submit("a")
    claim = await worker.claim_one()
    await job_leases.report([AttemptReport(claim, lines=lines(1, 1, age=2000))])
    await job_leases.report([AttemptReport(claim, b'{"fraction":1}', lines(2, 3))])
    total, found = await job_queue.logs("a")
    first, second, third = map(orjson.loads, found)
    assert total == 3
    assert [line["seq"] for line in (first, second, third)] == [1, 2, 3]
    assert [line["version"] for line in (first, second, third)] == [3, 4, 4]
    assert second["at"] - first["at"] >= 2000
    assert first.keys() == {"seq", "version", "at", "message"}
    assert (await job_queue.get("a")).version == 4


async def test_one_may_ask_for_what_follows(submit, worker, job_queue, job_leases):
    await submit("a")
    await job_leases.report([AttemptReport(await worker.claim_one(), lines=lines(1, 3))])
    assert await read(job_queue, after=1) == ["line 2", "line 3"]
    assert await read(job_queue, after=3) == []
    assert await read(job_queue, after=99) == []


async def test_a_job_that_has_written_none_has_an_empty_log(submit, job_queue):
    await submit("a")
    assert await job_queue.logs("a") == (0, [])


async def test_what_is_sent_again_because_a_reply_was_lost_is_written_once(
    submit, worker, job_queue, job_leases
):
    await submit("a")
    claim = await worker.claim_one()
    await job_leases.report([AttemptReport(claim, lines=lines(1, 2))])
    await job_leases.report([AttemptReport(claim, lines=lines(1, 3))])
    done = Finished(claim, Outcome(OutcomeKind.COMPLETED, b"1"), lines=lines(2, 4))
    await worker.step(done, number=7)
    await worker.step(done, number=7)
    assert await read(job_queue) == ["line 1", "line 2", "line 3", "line 4"]


async def test_the_next_attempt_goes_on_where_the_last_one_ended(submit, worker, job_queue):
    await submit("a")
    retry = Outcome(OutcomeKind.RETRY, ERROR)
    await worker.step(Finished(await worker.claim_one(), retry, lines=lines(1, 2)))
    await worker.step(
        Finished(await worker.claim_one(), Outcome(OutcomeKind.COMPLETED, b"1"), lines=lines(1, 1))
    )
    assert await read(job_queue) == ["line 1", "line 2", "line 1"]
    assert orjson.loads((await job_queue.logs("a")).lines[-1])["seq"] == 3


async def test_whoever_has_lost_the_lease_writes_nothing(submit, worker, other, job_queue, job_leases):
    await submit("a")
    late = await worker.claim_one()
    await worker.lose(late)
    await other.step(slots=1)
    await job_leases.report([AttemptReport(late, lines=lines(1, 1))])
    assert not (
        await worker.step(Finished(late, Outcome(OutcomeKind.COMPLETED, b"1"), lines=lines(1, 1)))
    ).accepted[0]
    assert await job_queue.logs("a") == (0, [])


async def test_only_the_last_thousand_lines_are_kept(submit, worker, job_queue, job_leases, server):
    await submit("a")
    claim = await worker.claim_one()
    await job_leases.report([AttemptReport(claim, lines=lines(1, 700))])
    await job_leases.report([AttemptReport(claim, lines=lines(701, 1400))])
    assert await server.llen(redis_keys.LOGS + "a") == 1000
    total, found = await job_queue.logs("a")
    assert (total, len(found), orjson.loads(found[0])["seq"]) == (1400, 1000, 401)
    assert await read(job_queue, after=1398) == ["line 1399", "line 1400"]


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("early", [True, False])
async def test_the_log_expires_with_the_record(early, kind, submit, worker, job_leases, server):
    await submit("a")
    claim = await worker.claim_one()
    if early:
        await job_leases.report([AttemptReport(claim, lines=lines(1, 1))])
        assert await server.ttl(redis_keys.LOGS + "a") == -1
    await worker.step(Finished(claim, Outcome(kind, ERROR), lines=b"" if early else lines(1, 1)))
    assert abs(await server.pttl(redis_keys.LOGS + "a") - await server.pttl(redis_keys.RECORD + "a")) < 50


async def test_a_waiting_job_that_is_cancelled_takes_its_log_along(submit, worker, job_queue, server):
    await submit("a")
    retry = Outcome(OutcomeKind.RETRY, ERROR, 60_000)
    await worker.step(Finished(await worker.claim_one(), retry, lines=lines(1, 1)))
    await job_queue.cancel("a")
    assert 0 < await server.ttl(redis_keys.LOGS + "a") <= 300


async def test_the_log_of_no_job(submit, worker, job_queue, server):
    with pytest.raises(JobNotFound, match="No job has the id"):
        await job_queue.logs("a")
    await submit("a")
    await server.delete(redis_keys.RECORD + "a")
    with pytest.raises(JobExpired):
        await job_queue.logs("a")
