"""The batch of one step: cut by number and by bytes."""

import pytest

from shared.store.job_leases import Claim, Finished, Outcome, OutcomeKind
from worker.lane import LARGEST_BATCH, LARGEST_STEP_BYTES, _batch

CLAIM = Claim("default", "a", 1, 1, 3, b"", b"", "r", "1:a")
HALF = LARGEST_STEP_BYTES // 2


def ended(size: int, lines: int = 0) -> Finished:
    return Finished(CLAIM, Outcome(OutcomeKind.COMPLETED, b"x" * size), lines=b"x" * lines)


@pytest.mark.parametrize(
    ("finished", "count"),
    [
        ([], 0),
        ([ended(10)] * 3, 3),
        ([ended(10)] * (LARGEST_BATCH + 1), LARGEST_BATCH),
        ([ended(HALF)] * 3, 2),
        ([ended(0, lines=HALF)] * 3, 2),
        ([ended(4 * LARGEST_STEP_BYTES)] * 3, 1),
        ([ended(10), ended(4 * LARGEST_STEP_BYTES)], 1),
        ([ended(4 * LARGEST_STEP_BYTES), ended(10)], 1),
    ],
)
def test_a_step_carries_about_a_mebibyte_of_outcomes_and_at_least_one(
    finished: list[Finished], count: int
) -> None:
    assert _batch(finished) == finished[:count]
