"""A snapshot is read as it was written, whatever happens to its writer."""

import time
from collections.abc import Iterator
from math import inf

import pytest

from shared.store.rows import Lease
from worker.lease_snapshot import LATEST, SnapshotMemory, lease_line
