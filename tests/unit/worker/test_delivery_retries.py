"""Times of the next delivery: the backoff, the receiver's Retry-After, and the end of the day."""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from shared.errors import FinalError
from shared.webhooks.delivery import DELIVERY
from tests.unit.worker.webhook_receiver import answering, deliver, failure, hang_up
from worker.execute import JobPostponed
from worker.webhooks.circuits import FAILURES, FIRST_PAUSE, current
from worker.webhooks.deliverer import Deliverer


@pytest.mark.parametrize(
    ("attempt", "least", "most"), [(1, 4, 6), (2, 12, 18), (5, 340, 486), (40, 10_080, 14_400)]
)
async def test_the_pauses_grow_from_seconds_to_hours(receiver, deliverer, attempt, least, most):
    receiver.answers = [answering(500)]
    pause = (await failure(deliverer, receiver.url, attempt=attempt)).retry_after
    assert least <= pause <= most


def test_the_day_is_over_before_the_attempts_are():
    backoff = DELIVERY.backoff
    shortest = (1 - backoff.jitter) * sum(
        min(backoff.first * backoff.factor**n, backoff.longest) for n in range(DELIVERY.max_attempts - 1)
    )
    assert shortest > 86400


def in_an_hour() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


@pytest.mark.parametrize(
    ("status", "given", "least", "most"),
    [
        (503, lambda: "120", 120, 120),
        (429, lambda: "3600", 3600, 3600),
        (400, in_an_hour, 3590, 3600),
        (503, lambda: "1", 4, 6),  # never sooner than the backoff
        (503, lambda: "Thu, 01 Jan 1970 00:00:00 GMT", 4, 6),
        (503, lambda: "soon", 4, 6),
        (503, lambda: "-5", 4, 6),
        (503, lambda: "9" * 5000, 4, 6),
        (503, lambda: "Fri, 99 Jan 99999 00:00:00 GMT", 4, 6),
        (503, lambda: "604800", 86390, 86400),  # a week: one last attempt when the day ends
        (503, lambda: "9" * 400, 4, 6),
    ],
)  # fmt: skip
async def test_the_receiver_may_ask_for_a_longer_pause(receiver, deliverer, status, given, least, most):
    receiver.answers = [answering(status, f"Retry-After: {given()}")]
    error = await failure(deliverer, receiver.url)
    assert error.code == "webhook_refused"
    assert least <= error.retry_after <= most


@pytest.mark.parametrize("answer", [answering(500), answering(503, "Retry-After: 60"), hang_up])
async def test_after_a_day_it_is_given_up(receiver, deliverer, answer):
    receiver.answers = [answer]
    error = await failure(deliverer, receiver.url, ended_at=time.time() - 86399)
    assert isinstance(error, FinalError)
    assert (error.code, error.retryable) == ("webhook_given_up", False)
    assert error.message.endswith(" It was tried for 24 h.")
    assert "POST /jobs/a-job/webhook/redeliver" in error.hint


@pytest.fixture
async def cut_off(deliverer, receiver) -> Deliverer:
    """A deliverer whose circuit for the receiver's host is open: it postpones every delivery."""
    circuits = deliverer._circuits
    for _ in range(FAILURES):
        with suppress(TimeoutError), circuits.delivery("127.0.0.1"):
            circuits._stall(current.get())
            raise TimeoutError
    return deliverer


async def test_a_delivery_that_may_not_go_is_postponed_until_the_day_is_over(receiver, cut_off):
    with pytest.raises(JobPostponed) as caught:
        await deliver(cut_off, receiver.url, ended_at=time.time() - 86400 + FIRST_PAUSE + 60)
    assert FIRST_PAUSE / 2 < caught.value.delay < FIRST_PAUSE + 5
    assert receiver.requests == []


@pytest.mark.parametrize("age", [86400 - FIRST_PAUSE / 2, 90000])
async def test_a_delivery_that_was_only_ever_postponed_is_given_up_after_a_day(receiver, cut_off, age):
    error = await failure(cut_off, receiver.url, ended_at=time.time() - age)
    assert isinstance(error, FinalError)
    assert (error.code, error.retryable) == ("webhook_given_up", False)
    assert error.message.endswith("before the receiver can be tried again: the circuit of the host is open.")
    assert "POST /jobs/a-job/webhook/redeliver" in error.hint
    assert receiver.requests == []


async def test_an_attempt_late_on_the_day_still_counts(receiver, deliverer):
    assert (await deliver(deliverer, receiver.url, ended_at=time.time() - 90000)).status == 204
