"""Claims that a fail-over has lost, made again while their attempts go on."""

from redis.asyncio import Redis

from shared.store.job_leases import Claim, OutcomeKind
from tests.lost_writes import forget_claim
from tests.unit.worker.conftest import Bench
from tests.unit.worker.pools import until


async def claimed(bench: Bench, job_id: str) -> Claim:
    """Start a job; a claim of its worker."""
    await bench.submit(job_id)
    bench.run(*bench.pumps)
    await until(lambda: bench.started == [job_id])
    [job] = bench.jobs.running.values()
    return job.claim


async def claims_of(redis: Redis, job_id: str) -> bytes | None:
    found: bytes | None = await redis.hget(f"jobs:record:{job_id}", "claims")  # type: ignore[misc]
    return found


async def claim_again(bench: Bench, claim: Claim) -> None:
    """Lose the claim, and let the lane find the job in the queue."""
    await forget_claim(bench.redis, claim)
    bench.lane._look()
    await until(lambda: not bench.lane.stepping and bench.lane._look_at > 0)
    assert await claims_of(bench.redis, claim.job_id) == b"1"


async def test_the_attempt_of_a_lost_claim_goes_on_if_its_worker_claims_the_job_again(bench: Bench) -> None:
    claim = await claimed(bench, "a")
    await claim_again(bench, claim)
    assert bench.started == ["a"]
    assert len(bench.jobs.running) == 1
    bench.let_end("a")
    await until(lambda: not bench.jobs.lease_lines)
    assert await bench.state("a") == "completed"
    assert bench.jobs.free == bench.jobs.size


async def test_an_attempt_that_stops_since_its_lease_was_lost_leaves_a_new_claim_alone(bench: Bench) -> None:
    claim = await claimed(bench, "a")
    bench.jobs._stop_leases({claim.lease}, set())
    bench.jobs.take([claim], 1)
    assert [(done.claim, done.outcome.kind) for done in bench.jobs.finished] == [
        (claim, OutcomeKind.RETURNED)
    ]


async def test_an_outcome_on_its_way_is_that_of_a_new_claim(bench: Bench) -> None:
    claim = await claimed(bench, "a")
    bench.leases.away = True
    bench.let_end("a")
    await until(lambda: bench.jobs.unwritten == 1)
    bench.jobs.take([claim], 1)
    assert bench.jobs.running == {}
    bench.leases.away = False
    await until(lambda: not bench.jobs.lease_lines)
    assert await bench.state("a") == "completed"
