"""Metrics of attempts: starts, waits, runs, outcomes that Redis has taken, outcomes that it has refused."""

from collections.abc import Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from shared.metrics.engine import EndedJobs
from shared.metrics.metric_set import MetricSet
from shared.store.job_leases import Claim, Finished, Outcome, OutcomeKind, Step
from shared.store.moves import RESCUED, Move
from tests.unit.worker.attempts import message_of
from tests.unit.worker.conftest import Bench
from tests.unit.worker.pools import until
from worker.metrics.attempt_metrics import FencedWrites, JobMetrics, WebhookMetrics

CLAIM = Claim("default", "a", 1, 1, 3, b"", b"", "r", "1:a")


class Measured:
    """The metrics of both lanes of a worker that knows the job type `work`."""

    def __init__(self) -> None:
        self._set = MetricSet()
        ended, fenced = EndedJobs(self._set, ["work"]), FencedWrites(self._set)
        self.jobs = JobMetrics(self._set, ["work"], ended, fenced)
        self.webhooks = WebhookMetrics(self._set, ended, fenced)
        self._set.open()

    def counts(self) -> dict[str, float]:
        """The samples that are not zero, without the prefix of their names and without buckets."""
        return {
            " ".join([sample.name.removeprefix("job_server_"), *sorted(sample.labels.values())]): sample.value
            for family in text_string_to_metric_families(self._set.text().decode())
            for sample in family.samples
            if sample.value and not sample.name.endswith("_bucket")
        }


def step(*accepted: bool, moves: Sequence[Move] = ()) -> Step:
    return Step(None, list(accepted), [], [], 0, moves=list(moves))


def done(kind: OutcomeKind, job_type: str = "work") -> Finished:
    return Finished(CLAIM, Outcome(kind), job_type=job_type)


@pytest.fixture
def measured() -> Measured:
    return Measured()


async def test_a_job_counts_at_its_start_and_once_redis_has_its_outcome(
    fake_redis: Redis, measured: Measured
):
    bench = Bench(fake_redis, metrics=measured.jobs)
    await bench.submit("a")
    bench.run(*bench.pumps)
    await until(lambda: bench.started)
    counts = measured.counts()
    assert counts["jobs_started_total work"] == counts["job_wait_seconds_count work"] == 1
    assert counts.get("job_wait_seconds_sum work", 0) < 60
    assert "jobs_finished_total completed work" not in counts
    bench.let_end("a")
    await until(lambda: measured.counts().get("jobs_finished_total completed work"))
    counts = measured.counts()
    assert counts["jobs_finished_total completed work"] == counts["job_run_seconds_count work"] == 1
    assert counts["job_run_seconds_sum work"] > 0
    await bench.close()


async def test_a_wait_counts_from_the_time_when_the_job_was_due(fake_redis: Redis, measured: Measured):
    bench = Bench(fake_redis, metrics=measured.jobs)
    await bench.submit("a")
    [(member, due)] = await fake_redis.zrange("arq:queue:default", 0, -1, withscores=True)
    await fake_redis.zadd("arq:queue:default", {member: due - 100_000})
    bench.run(*bench.pumps)
    await until(lambda: bench.started)
    assert 100 <= measured.counts()["job_wait_seconds_sum work"] < 160
    await bench.close()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (OutcomeKind.COMPLETED, "jobs_finished_total completed work"),
        (OutcomeKind.FAILED, "jobs_finished_total failed work"),
        (OutcomeKind.CANCELLED, "jobs_finished_total cancelled work"),
        (OutcomeKind.RETRY, "jobs_retried_total work"),
    ],
)
def test_outcomes_that_redis_has_taken_count_by_their_kind(measured: Measured, kind: OutcomeKind, name: str):
    measured.jobs.note_step([done(kind), done(kind)], step(True, True))
    assert measured.counts() == {name: 2}


@pytest.mark.parametrize("kind", [OutcomeKind.RELEASED, OutcomeKind.RETURNED])
def test_a_job_that_goes_back_to_its_queue_has_not_finished(measured: Measured, kind: OutcomeKind):
    measured.jobs.note_step([done(kind)], step(True))
    assert measured.counts() == {}


def test_a_refused_outcome_is_a_fenced_write_and_no_finished_job(measured: Measured):
    measured.jobs.note_step([done(OutcomeKind.COMPLETED), done(OutcomeKind.RETURNED)], step(False, False))
    measured.webhooks.note_step([done(OutcomeKind.COMPLETED)], step(False))
    assert measured.counts() == {"fenced_writes_total": 2}


def test_a_type_that_the_worker_does_not_know_counts_as_other(measured: Measured):
    measured.jobs.note_step([done(OutcomeKind.FAILED, "surprise")], step(True))
    measured.jobs.note_step([done(OutcomeKind.CANCELLED, "")], step(True))
    assert measured.counts() == {
        "jobs_finished_total failed other": 1,
        "jobs_finished_total cancelled other": 1,
    }


def test_a_claim_that_was_cancelled_before_its_start_counts_by_the_type_in_its_message(measured: Measured):
    claim = CLAIM._replace(message=message_of("work", ["a"]))
    measured.jobs.note_step([Finished(claim, Outcome(OutcomeKind.CANCELLED))], step(True))
    assert measured.counts() == {"jobs_finished_total cancelled work": 1}


@pytest.mark.parametrize("lane", ["jobs", "webhooks"])
def test_jobs_that_a_step_ends_or_rescues_by_itself_count(measured: Measured, lane: str):
    moves = [Move("work", RESCUED), Move("work", RESCUED), Move("work", "failed"), Move("?", "cancelled")]
    getattr(measured, lane).note_step([], step(moves=moves))
    assert measured.counts() == {
        "jobs_rescued_total": 2,
        "jobs_finished_total failed work": 1,
        "jobs_finished_total cancelled other": 1,
    }


def test_deliveries_of_webhooks_are_no_jobs(measured: Measured):
    kinds = [OutcomeKind.COMPLETED, OutcomeKind.RETRY, OutcomeKind.FAILED, OutcomeKind.RELEASED]
    measured.webhooks.note_step([done(kind, "webhook") for kind in kinds], step(*[True] * 4))
    outcomes = ("delivered", "retried", "given_up", "postponed")
    assert measured.counts() == {f"webhook_deliveries_total {outcome}": 1 for outcome in outcomes}
