"""Backoff between attempts: grows up to the longest pause, and is spread at random."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from shared.job_type import Backoff

ATTEMPTS = some.integers(1, 100_000)
BACKOFFS = some.builds(
    Backoff,
    first=some.floats(0.001, 100),
    factor=some.floats(1, 100),
    longest=some.floats(0.001, 10_000),
    jitter=some.floats(0, 1),
)


def test_without_jitter_each_pause_is_a_multiple_of_the_one_before():
    backoff = Backoff(first=0.5, factor=3, longest=1000, jitter=0)
    assert [backoff.seconds(attempt) for attempt in (1, 2, 3, 4)] == [0.5, 1.5, 4.5, 13.5]


def test_no_pause_exceeds_the_longest():
    backoff = Backoff(first=1, factor=2, longest=5, jitter=0)
    assert [backoff.seconds(attempt) for attempt in (2, 3, 4, 5)] == [2, 4, 5, 5]


def test_even_the_first_pause_does_not_exceed_the_longest():
    assert Backoff(first=10, longest=3, jitter=0).seconds(1) == 3


@given(BACKOFFS, ATTEMPTS)
def test_a_pause_lies_between_its_unjittered_share_and_the_longest(backoff: Backoff, attempt: int):
    whole = Backoff(backoff.first, backoff.factor, backoff.longest, jitter=0).seconds(attempt)
    pause = backoff.seconds(attempt)
    assert whole <= backoff.longest
    assert whole * (1 - backoff.jitter) <= pause <= whole


@given(BACKOFFS, ATTEMPTS)
def test_pauses_never_shrink_with_the_attempts(backoff: Backoff, attempt: int):
    steady = Backoff(backoff.first, backoff.factor, backoff.longest, jitter=0)
    assert steady.seconds(attempt) <= steady.seconds(attempt + 1)


@pytest.mark.parametrize(("drawn", "pause"), [(0.0, 8.0), (0.5, 6.0), (1.0, 4.0)])
def test_jitter_is_the_share_that_is_drawn(monkeypatch: pytest.MonkeyPatch, drawn: float, pause: float):
    monkeypatch.setattr("random.random", lambda: drawn)
    assert Backoff(first=8, longest=100, jitter=0.5).seconds(1) == pause


def test_jobs_that_failed_together_do_not_return_together():
    assert len({Backoff().seconds(3) for _ in range(50)}) > 40
