"""Ids of jobs and files: UUIDv7, whose last byte is the shard, 0 without shards.

Layout, in bytes: 6 of time in ms, 6 with the version, the variant and a counter that rises within a
millisecond, 3 random, 1 of the shard. So ids of one process are unique and in the order of creation.
"""

from uuid_utils import uuid7

SHARD = "00"
HEX_DIGITS = frozenset("0123456789abcdef")


def new_job_id() -> str:
    """The id of a new job, on the first shard."""
    return str(uuid7())[:-2] + SHARD


def new_file_id() -> str:
    """The id of a new uploaded file: `file_` and the digits of a UUID."""
    return f"file_{uuid7().hex[:-2]}{SHARD}"


def on_shard(job_id: str, shard: int) -> str:
    """The id of a new job, on a shard."""
    return f"{job_id[:-2]}{shard:02x}"


def shard_of(some_id: str, shards: int) -> int:
    """The shard that an id names; the first one for an id that names none of them."""
    last = some_id[-2:]
    shard = int(last, 16) if len(last) == 2 and HEX_DIGITS.issuperset(last) else 0
    return shard if shard < shards else 0
