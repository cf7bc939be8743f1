"""Retention: how long the records of finished jobs are kept.

`settle` in `scripts/parts/transitions.lua` sets the expiry of a record.
"""

from typing import NamedTuple


class Retention(NamedTuple):
    """Seconds for which the record of a finished job can be read, by the job's final state."""

    completed: int
    failed: int
    cancelled: int
