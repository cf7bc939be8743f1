"""A state machine that makes the same calls to the store and to its reference, compared at each step.

The clock of Redis can't be set. So the machine changes scores instead: a lease ends, or a delayed job is due.
"""
# ruff: noqa: S101  # the assertions are the test

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import Any, ClassVar, TypeVar, cast

import orjson
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis.asyncio import Redis

from chaos.reference.comparison import diff_indexes, diff_records
from chaos.reference.store import LATER, MAX_WAITING, PARAMS, ReferenceStore
from shared.errors import JobNotFound, QueueFull
from shared.job_type import JobType, Params
from shared.record import JobState
from shared.store import redis_keys
from shared.store.job_leases import AttemptReport, Claim, Finished, JobLeases, Outcome, OutcomeKind, Step
from shared.store.job_queue import JobQueue
from shared.store.queues import Queues
from shared.store.retention import Retention
from shared.store.rows import Lease
from shared.store.submission import NewJob
from shared.store.workers import WorkerInfo

WORKERS = {"one": ("high", "low"), "two": ("low",), "three": ("high",)}
QUEUES = ("high", "low")
RETENTION = Retention(completed=1000, failed=2000, cancelled=3000)
ERROR = b'{"code":"broken","message":"","hint":"","retryable":true,"attempt":%d}'
STATES = (None, JobState.PENDING, JobState.RUNNING)
LEASE, HOUR = 600.0, 3_600_000
T = TypeVar("T")

names = st.sampled_from(sorted(WORKERS))
picks = st.integers(0, 1 << 16)
pumps = st.sampled_from((1, 2))


class StoreStateMachine(RuleBasedStateMachine):
    """Rules of the machine; a subclass sets `loop` and `redis`, which all sequences of a run share."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    redis: ClassVar[Redis]
    sequences: ClassVar[int] = 0
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.queue = JobQueue(self.redis, RETENTION, max_waiting=MAX_WAITING)
        self.queues = Queues(self.redis, QUEUES)
        self.job_leases = JobLeases(self.redis)
        self.reference = ReferenceStore(WORKERS)
        self.numbers: Counter[tuple[str, int]] = Counter()  # of steps, by worker and pump
        self.last: dict[tuple[str, int], tuple[list[Finished], int]] = {}
        self.claims: list[Claim] = []  # all claims so far

    def wait(self, call: Awaitable[T]) -> T:
        return self.loop.run_until_complete(call)

    @initialize()
    def empty(self) -> None:
        self.wait(self.redis.flushdb())
        type(self).sequences += 1

    @invariant()
    def count(self) -> None:
        type(self).steps += 1

    @rule(queue=st.sampled_from(QUEUES), number=st.integers(0, 6), max_attempts=st.integers(1, 3))
    def submit(self, queue: str, number: int, max_attempts: int) -> None:
        """Submit a new job, or repeat a submission."""
        job_id = f"job-{number}"
        if job_id in self.reference.jobs:
            queue, max_attempts = self.reference.jobs[job_id].queue, self.reference.jobs[job_id].max_attempts
        room = self.reference.submit(job_id, queue, max_attempts)
        job_type = JobType(
            name="t",
            summary="",
            params=Params,
            result=int,
            example={},
            queue=queue,
            max_attempts=max_attempts,
        )
        job = NewJob(job_type, PARAMS, "r-" + job_id, job_id=job_id)
        try:
            submitted = self.wait(self.queue.submit(job))
            assert submitted.record.job_id == job_id
            assert room
            self.copy_places()
        except QueueFull:
            assert not room
        self.compare()

    @rule(
        name=names,
        pump=pumps,
        slots=st.integers(0, 4),
        kinds=st.lists(st.sampled_from(OutcomeKind), max_size=3),
    )
    def step(self, name: str, pump: int, slots: int, kinds: list[OutcomeKind]) -> None:
        """Finish some of the worker's jobs and claim others, twice, as after a lost reply."""
        key = name, pump
        mine = [c for c in self.claims if self.reference.jobs[c.job_id].worker == name]
        self.numbers[key] += 1
        self.last[key] = [_finish(c, kind) for c, kind in zip(mine[::-1], kinds, strict=False)], slots
        first = self.do_step(*key)
        again = self.do_step(*key)
        assert not first.claims or again.claims == first.claims
        for done, was, now in zip(self.last[key][0], first.accepted, again.accepted, strict=True):
            job = self.reference.jobs[done.claim.job_id]
            if job.claims == done.claim.fencing_token:  # no later claim since
                assert was == now

    @precondition(lambda self: self.claims)
    @rule(
        name=names,
        pump=pumps,
        kind=st.sampled_from(OutcomeKind),
        which=picks,
        delay=st.sampled_from([0, HOUR]),
    )
    def finish(self, name: str, pump: int, kind: OutcomeKind, which: int, delay: int) -> None:
        """Report an outcome of any claim so far: in time, too late, or for the second time."""
        claim = self.claims[-1 - which % len(self.claims)]
        self.numbers[name, pump] += 1
        self.last[name, pump] = [_finish(claim, kind, delay=delay, progress=b'{"p":%d}' % (which % 3))], 0
        self.do_step(name, pump)

    @precondition(lambda self: self.last)
    @rule(which=picks)
    def repeat(self, which: int) -> None:
        """Repeat the last step of a pump, whatever has changed since."""
        self.do_step(*sorted(self.last)[which % len(self.last)])

    @precondition(lambda self: self.claims)
    @rule(name=names, choice=st.lists(picks, min_size=1, max_size=4))
    def return_claims(self, name: str, choice: list[int]) -> None:
        """Return claims as the heartbeat process of a blocked worker does, and repeat that."""
        claims = list({c.lease: c for c in (self.claims[n % len(self.claims)] for n in choice)}.values())
        leases = [Lease(claim.queue, claim.lease) for claim in claims]
        for _ in range(2):
            accepted = self.wait(self.job_leases.return_claims(name, leases, RETENTION))
            assert accepted == self.reference.return_claims(name, claims)
            self.copy_places()
        self.compare()

    @precondition(lambda self: self.numbers)
    @rule(which=picks)
    def read_claims(self, which: int) -> None:
        """Read the claims of a pump's last step."""
        key = sorted(self.numbers)[which % len(self.numbers)]
        leases = self.wait(self.job_leases.step_claims(*key, self.numbers[key]))
        assert [lease.lease for lease in leases] == self.reference.step_claims(*key, self.numbers[key])

    @precondition(lambda self: self.leases())
    @rule(which=picks)
    def end_lease(self, which: int) -> None:
        queue, member, job = self.leases()[which % len(self.leases())]
        assert self.wait(self.redis.zadd(redis_keys.LEASES + queue, {member: 1}, xx=True)) is not None
        job.expired = True

    @precondition(lambda self: any(job.due == LATER for job in self.pending()))
    @rule(which=picks)
    def make_due(self, which: int) -> None:
        late = [job for job in self.pending() if job.due == LATER]
        late[which % len(late)].due = self.reference.tick()
        self.copy_places()

    @rule(number=st.integers(0, 6))
    def cancel(self, number: int) -> None:
        job_id = f"job-{number}"
        try:
            cancelled, record = self.wait(self.queue.cancel(job_id))
        except JobNotFound:
            assert job_id not in self.reference.jobs
            return
        assert cancelled.value == self.reference.cancel(job_id)
        assert record.state == self.reference.jobs[job_id].state
        self.compare()

    @rule(numbers=st.lists(st.integers(0, 7), max_size=5, unique=True), state=st.sampled_from(STATES))
    def cancel_all(self, numbers: list[int], state: JobState | None) -> None:
        ids = [f"job-{number}" for number in numbers]
        cancelled = self.wait(self.queue.cancel_all(ids, state))
        assert [result.value for result in cancelled] == self.reference.cancel_all(ids, state or "")
        self.compare()

    @rule(queue=st.sampled_from(QUEUES))
    def pause(self, queue: str) -> None:
        state = self.wait(self.queues.pause(queue, None, ""))
        self.reference.paused.add(queue)
        assert state.pause is not None
        assert state.running == sum(
            1 for job in self.reference.jobs.values() if job.queue == queue and job.lease
        )
        assert state.ready + state.scheduled == len(self.reference.waiting(queue))

    @rule(queue=st.sampled_from(QUEUES))
    def resume(self, queue: str) -> None:
        assert self.wait(self.queues.resume(queue)).pause is None
        self.reference.paused.discard(queue)

    @rule(name=names, choice=st.lists(picks, max_size=4))
    def beat(self, name: str, choice: list[int]) -> None:
        chosen = [self.claims[n % len(self.claims)] for n in choice if self.claims]
        claims = list({claim.lease: claim for claim in chosen}.values())
        worker_info = WorkerInfo(name, "host", 1, WORKERS[name], slots=4, started_at=1.0)
        found = self.wait(self.job_leases.beat(worker_info, claims, running=len(claims), lease=LEASE))
        assert found == self.reference.beat(name, claims)

    @precondition(lambda self: self.claims)
    @rule(which=picks)
    def report(self, which: int) -> None:
        claim, progress = self.claims[which % len(self.claims)], b'{"at":%d}' % which
        assert self.wait(self.job_leases.report([AttemptReport(claim, progress)])) == self.reference.report(
            claim, progress
        )
        self.compare()

    def do_step(self, name: str, pump: int) -> Step:
        """Send the last step of a pump to both stores, and compare."""
        (finished, slots), number = self.last[name, pump], self.numbers[name, pump]
        call = self.job_leases.step(
            name, number, WORKERS[name], finished, slots=slots, lease=LEASE, retention=RETENTION, pump=pump
        )
        step = with_plain_messages(self.wait(call))
        accepted, rescued, claims = self.reference.step(name, pump, number, finished, slots)
        assert (step.accepted, set(step.rescued), step.claims) == (accepted, rescued, claims)
        assert step.paused == self.reference.paused.intersection(WORKERS[name])
        assert (step.wait is None) == (not self.has_reason_to_wake(name, full=len(claims) >= slots))
        self.claims += [claim for claim in step.claims if claim not in self.claims]
        self.copy_places()
        self.compare()
        return step

    def copy_places(self) -> None:
        """Give jobs that have just become pending the due time of the reference, in their records too."""
        for job in self.pending():
            if job.due != LATER:
                field = "run_at" if job.moved else "created_at"
                record = redis_keys.RECORD + job.job_id
                self.wait(cast(Awaitable[int], self.redis.hset(record, mapping={field: job.due})))
                self.wait(self.redis.zadd(redis_keys.QUEUE + job.queue, {job.job_id: job.due}, xx=True))

    def has_reason_to_wake(self, name: str, *, full: bool) -> bool:
        """Whether a worker has a reason to wake up by itself; a full one only for jobs due later."""
        if not full:
            jobs = self.reference.jobs.values()
            mine = [job for job in jobs if job.queue in WORKERS[name]]
            return any(job.lease or (_waits(job) and job.queue not in self.reference.paused) for job in mine)
        queues = [queue for queue in WORKERS[name] if queue not in self.reference.paused]
        heads = [min((j.due for j in self.reference.waiting(queue)), default=0) for queue in queues]
        return LATER in heads

    def pending(self) -> list[Any]:
        return [job for job in self.reference.jobs.values() if _waits(job)]

    def leases(self) -> list[tuple[str, str, Any]]:
        held = [job for job in self.reference.jobs.values() if job.lease]
        return [(job.queue, f"{job.lease}:{job.job_id}", job) for job in held]

    def compare(self) -> None:
        assert not self.wait(diff_records(self.redis, self.reference.jobs.values()))

    def teardown(self) -> None:
        assert not self.wait(diff_indexes(self.redis, self.reference.jobs.values(), QUEUES))


def with_plain_messages(step: Step) -> Step:
    """The step with the messages of its claims as in the reference, the job id, and without due times."""
    claims = [
        claim._replace(message=orjson.loads(claim.message)["a"][0].encode(), due=0) for claim in step.claims
    ]
    return step._replace(claims=claims)


def _waits(job: Any) -> bool:
    return bool(job.state == "pending")


def _finish(claim: Claim, kind: OutcomeKind, *, delay: int = 0, progress: bytes = b"") -> Finished:
    body = {OutcomeKind.COMPLETED: b"7", OutcomeKind.FAILED: ERROR % claim.attempt}
    body[OutcomeKind.RETRY] = body[OutcomeKind.FAILED]
    return Finished(claim, Outcome(kind, body.get(kind, b""), delay), progress)
