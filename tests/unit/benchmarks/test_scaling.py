"""The section `scaling`: shards held by primaries, and the usage of servers."""

import pytest

from benchmarks.redis_usage import Usage, total
from benchmarks.sections.scaling import Setup


@pytest.mark.parametrize(
    ("shards", "primaries", "held"),
    [(1, 3, [1, 0, 0]), (2, 3, [1, 1, 0]), (4, 3, [2, 1, 1]), (8, 3, [3, 3, 2]), (8, 8, [1] * 8)],
)
def test_primaries_hold_the_shards_of_their_slots(shards: int, primaries: int, held: list[int]):
    setup = Setup(shards, primaries)
    assert [setup.count_held(primary) for primary in range(primaries)] == held


def test_usage_of_several_servers_adds_up_and_subtracts():
    before, after = Usage(1, 2, 3, 4, 5, 6), Usage(2, 4, 6, 8, 10, 12)
    assert after.since(before) == before
    assert total([before, before]) == after
