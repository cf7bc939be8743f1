"""Claims that a fail-over has lost: the next claim of the job has the same fencing token."""

from dataclasses import replace

import pytest

from shared.record import JobState
from shared.store.job_leases import AttemptReport, OutcomeKind
from shared.store.rows import Lease
from tests.lost_writes import forget_claim

ERROR = b'{"code":"e","message":"m","hint":"h","retryable":true,"attempt":1}'


@pytest.mark.parametrize("kind", list(OutcomeKind))
async def test_the_outcome_of_a_lost_claim_is_refused_and_the_job_waits(
    kind, submit, worker, other, server, job_queue
):
    await submit("a")
    lost = await worker.claim_one()
    await forget_claim(server, lost)
    assert not await worker.finish(lost, kind, ERROR)
    assert (await job_queue.get("a")).state is JobState.PENDING
    assert await other.finish(await other.claim_one(), OutcomeKind.COMPLETED, b"1")


async def test_a_step_with_the_outcome_of_a_lost_claim_claims_the_job_again(submit, worker, server):
    await submit("a")
    lost = await worker.claim_one()
    await forget_claim(server, lost)
    claim = await worker.claim_one()
    assert claim.lease == lost.lease
    assert await worker.finish(claim, OutcomeKind.COMPLETED, b"1")


@pytest.mark.parametrize("kind", list(OutcomeKind))
async def test_a_worker_whose_claim_was_lost_does_not_end_the_attempt_of_another(
    kind, submit, worker, other, server, job_queue, indexes_agree
):
    await submit("a")
    lost = await worker.claim_one()
    await forget_claim(server, lost)
    current = await other.claim_one()
    assert current.lease == lost.lease
    before = await job_queue.get("a")
    assert not await worker.finish(lost, kind, ERROR)
    assert await job_queue.get("a") == before
    await indexes_agree()
    assert await other.finish(current, OutcomeKind.COMPLETED, b"1")
    assert not await worker.finish(lost, OutcomeKind.COMPLETED, b"2")
    assert (await job_queue.get("a")).fields[b"result"] == b"1"


async def test_a_worker_whose_claim_was_lost_hears_so_though_another_has_its_token(
    submit, worker, other, server, job_leases
):
    await submit("a")
    lost = await worker.claim_one()
    await forget_claim(server, lost)
    current = await other.claim_one()
    lease = Lease(current.queue, current.lease)
    assert await job_leases.beat(worker.info, [lease], running=1, lease=60) == ({lost.lease}, set())
    assert await job_leases.beat(other.info, [lease], running=1, lease=60) == (set(), set())


async def test_a_worker_whose_claim_was_lost_reports_nothing_for_another(
    submit, worker, other, server, job_queue, job_leases
):
    await submit("a")
    lost = await worker.claim_one()
    await forget_claim(server, lost)
    current = await other.claim_one()
    await job_leases.report([AttemptReport(lost, b'{"fraction":0.1}')], worker_id=worker.name)
    assert b"progress" not in (await job_queue.get("a")).fields
    await job_leases.report([AttemptReport(current, b'{"fraction":0.2}')], worker_id=other.name)
    assert (await job_queue.get("a")).fields[b"progress"] == b'{"fraction":0.2}'


async def test_the_heartbeat_process_returns_claims_of_the_webhooks_too(submit, new_worker, job_leases):
    await submit("a")
    worker = new_worker()
    process = worker.name
    worker.info = replace(worker.info, worker_id=f"{process}-webhooks")
    claim = await worker.claim_one()
    lease = Lease(claim.queue, claim.lease)
    assert await job_leases.return_claims(process, [lease], worker.retention) == [True]
