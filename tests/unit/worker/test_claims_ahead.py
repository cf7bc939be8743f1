"""The bound of held claims: by the latest rate, less after a return."""

import pytest

import worker.claims_ahead as module
from tests.unit.worker.conftest import Clock
from worker.claims_ahead import AHEAD_SECONDS, MOST_CLAIMS, ClaimsAhead

WINDOW = 0.25  # seconds, exact in binary


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def run_for_a_window(ahead: ClaimsAhead, clock: Clock, jobs_per_second: float) -> int:
    ahead.note_ended(round(jobs_per_second * WINDOW))
    clock.now += WINDOW
    return ahead.most


@pytest.mark.parametrize(
    ("size", "jobs_per_second", "most"),
    [
        (10, 0, 0),
        (10, 50, 0),  # slow jobs: the next slot is free in 20 ms only
        (10, 2000, 20),
        (10, 100_000, MOST_CLAIMS - 10),
        (100, 100_000, MOST_CLAIMS - 100),
        (500, 100_000, 0),  # the slots alone fill the largest steps
    ],
)
def test_as_many_claims_are_held_as_the_slots_take_soon(
    clock: Clock, size: int, jobs_per_second: float, most: int
):
    ahead = ClaimsAhead(size)
    assert ahead.most == 0
    assert run_for_a_window(ahead, clock, jobs_per_second) == most
    assert most <= jobs_per_second * AHEAD_SECONDS


def test_a_pause_makes_the_rate_small(clock: Clock):
    ahead = ClaimsAhead(10)
    run_for_a_window(ahead, clock, 10_000)
    clock.now += 5
    assert ahead.most == 0


def test_a_return_halves_the_bound_which_then_grows_again(clock: Clock):
    ahead = ClaimsAhead(10)
    assert run_for_a_window(ahead, clock, 10_000) == 100
    ahead.note_return()
    assert ahead.most == 50
    ahead.note_return()
    assert ahead.most == 25
    grown = [run_for_a_window(ahead, clock, 10_000) for _ in range(30)]
    assert grown == sorted(grown)
    assert grown[0] < 30
    assert grown[-1] == 100
