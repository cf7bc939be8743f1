"""The store against its reference in plain Python; `python -m chaos --only store_model` plays far more."""

import asyncio
from collections.abc import Iterator

import pytest
from fakeredis import FakeAsyncRedis

from chaos.reference.sequences import play
from chaos.reference.state_machine import StoreStateMachine
from dev.stack import Stack
from shared.store.job_leases import OutcomeKind


def test_the_store_on_a_real_redis_does_what_the_model_does(redis_stack: Stack) -> None:
    sequences, _ = play(redis_stack.admin_url, 25, 1, steps=30)

    assert sequences >= 25


def test_the_store_on_the_fake_redis_does_what_the_model_does() -> None:
    sequences, _ = play("fake", 15, 2, steps=30)

    assert sequences >= 15


@pytest.fixture
def machine() -> Iterator[StoreStateMachine]:
    """A machine on the fake Redis, for sequences that random play seldom finds."""

    class Machine(StoreStateMachine):
        loop = asyncio.new_event_loop()
        redis = FakeAsyncRedis()

    machine = Machine()
    machine.empty()
    yield machine
    machine.teardown()
    Machine.loop.run_until_complete(Machine.redis.aclose())
    Machine.loop.close()


def test_a_claim_is_returned_by_its_own_worker_alone(machine: StoreStateMachine) -> None:
    machine.submit(queue="high", number=0, max_attempts=1)
    machine.step(name="one", pump=1, slots=1, kinds=[])
    machine.cancel(number=0)
    machine.finish(name="one", pump=1, kind=OutcomeKind.RETRY, which=0, delay=0)
    machine.return_claims(name="three", choice=[0])


def test_a_lease_that_its_living_worker_has_forgotten_is_not_charged(machine: StoreStateMachine) -> None:
    machine.beat(name="one", choice=[])
    machine.submit(queue="high", number=0, max_attempts=1)
    machine.submit(queue="high", number=1, max_attempts=1)
    machine.step(name="one", pump=1, slots=1, kinds=[])
    machine.end_lease(which=0)
    machine.repeat(which=0)
