"""Hash tags: their slots are spread evenly, and commands of a shard have them before each key."""

from collections import Counter
from itertools import pairwise

import pytest

from shared.store import scripts
from shared.store.slots import MOST_SHARDS, SLOTS, slot_of, tag_of
from shared.store.tags import tagged_command


def test_every_shard_has_a_tag_of_its_own():
    assert len({tag_of(shard) for shard in range(MOST_SHARDS)}) == MOST_SHARDS


@pytest.mark.parametrize("shards", [2, 4, 8, 16, 64])
def test_the_slots_of_the_first_shards_are_spread_evenly(shards):
    slots = sorted(slot_of(tag_of(shard)) for shard in range(shards))
    gaps = [after - before for before, after in pairwise([*slots, slots[0] + SLOTS])]
    assert max(gaps) < 1.5 * SLOTS / shards or max(gaps) - SLOTS / shards <= SLOTS / MOST_SHARDS


def test_eight_shards_lie_on_three_primaries_alike():
    thirds = Counter(slot_of(tag_of(shard)) * 3 // SLOTS for shard in range(8))
    assert sorted(thirds.values()) == [2, 3, 3]


@pytest.mark.parametrize(
    ("command", "tagged"),
    [
        (("HMGET", "jobs:record:a", "state"), ("HMGET", "{x}jobs:record:a", "state")),
        (("BLPOP", "jobs:wake:a", "jobs:wake:b", 5.0), ("BLPOP", "{x}jobs:wake:a", "{x}jobs:wake:b", 5.0)),
        (("EXISTS", "a", "b"), ("EXISTS", "{x}a", "{x}b")),
        (("SUBSCRIBE", b"jobs:changes:a"), ("SSUBSCRIBE", b"{x}jobs:changes:a")),
        (("UNSUBSCRIBE", b"jobs:changes:a"), ("SUNSUBSCRIBE", b"{x}jobs:changes:a")),
        (("PING",), ("PING",)),
        (("TIME",), ("TIME",)),
    ],
)
def test_keys_and_channels_of_a_command_get_the_tag(command, tagged):
    assert tagged_command("{x}", command[0], command[1:]) == tagged


def test_a_script_declares_the_tag_as_its_one_key():
    sha, tagged_sha = scripts.STEP.sha, scripts.sha_of(scripts.tagged(scripts.STEP.source))
    assert tagged_command("{x}", "EVALSHA", (sha, 0, "a")) == ("EVALSHA", tagged_sha, 1, "{x}", "a")
    name, source, keys, tag, word = tagged_command("{x}", "EVAL", (scripts.STEP.source, 0, "a"))
    assert (name, keys, tag, word) == ("EVAL", 1, "{x}", "a")
    assert "local RECORD = TAG .. 'jobs:record:'" in str(source)


def test_without_shards_a_script_declares_no_key():
    for script in scripts.EVERY_SCRIPT:
        assert "KEYS[" not in script.source
        assert "local TAG, PUBLISH = '', 'PUBLISH'" in script.source
