"""Ids of jobs and files: UUIDv7, whose last byte is the shard, 0 today.

Layout, in bytes: 6 of time in ms, 6 with the version, the variant and a counter that rises within a
millisecond, 3 random, 1 of the shard. So ids of one process are unique and in the order of creation.
"""

from uuid_utils import uuid7

SHARD = "00"


def new_job_id() -> str:
    """The id of a new job."""
    return str(uuid7())[:-2] + SHARD


def new_file_id() -> str:
    """The id of a new uploaded file: `file_` and the digits of a UUID."""
    return f"file_{uuid7().hex[:-2]}{SHARD}"
