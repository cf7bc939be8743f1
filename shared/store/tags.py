"""Hash tags: a tag before every key of a shard keeps all of a job in one slot of a Redis Cluster.

A tagged command is the command of a store without shards, with the tag before its keys. So the rest of the
store spells keys as `redis_keys` does, and a store without shards has no tag and no cost.
"""

from collections.abc import Sequence
from functools import cache

from shared.store.client import Argument
from shared.store.scripts import EVERY_SCRIPT, sha_of, tagged

NO_KEY = slice(0)
FIRST_WORD = slice(1)  # of most commands, the key
KEYS_OF = {  # the words of other commands that are keys
    "BLPOP": slice(-1),
    "CLIENT": NO_KEY,
    "DEL": slice(None),
    "EXISTS": slice(None),
    "MGET": slice(None),
    "PING": NO_KEY,
    "ROLE": NO_KEY,
    "TIME": NO_KEY,
    "WAIT": NO_KEY,
}
SHARDED = {"SUBSCRIBE": "SSUBSCRIBE", "UNSUBSCRIBE": "SUNSUBSCRIBE", "PUBLISH": "SPUBLISH"}
"""Commands of channels, in the form that stays on the node of the channel's slot."""


@cache
def tagged_shas() -> dict[str, str]:
    """The SHA of each script's form for a shard, by that of the script."""
    return {script.sha: sha_of(tagged(script.source)) for script in EVERY_SCRIPT}


def tagged_command(tag: str, name: str, words: Sequence[Argument]) -> tuple[Argument, ...]:
    """A command with the tag before its keys; a script gets the tag as its one declared key."""
    if name == "EVALSHA":
        return name, tagged_shas()[str(words[0])], 1, tag, *words[2:]
    if name == "EVAL":
        return name, tagged(str(words[0])), 1, tag, *words[2:]
    keys = range(len(words))[KEYS_OF.get(name, FIRST_WORD)]
    return (
        SHARDED.get(name, name),
        *(_with_tag(tag, word) if place in keys else word for place, word in enumerate(words)),
    )


def _with_tag(tag: str, key: Argument) -> Argument:
    return tag.encode() + key if isinstance(key, bytes) else f"{tag}{key}"
