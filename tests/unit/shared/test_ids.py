"""Ids of jobs and files: unique, in the order of their making, with the shard as their last byte."""

import re
from uuid import UUID

from shared.ids import new_file_id, new_job_id
from shared.job_type import FILE_ID


def test_job_ids_are_unique_and_ordered_and_end_in_the_shard():
    ids = [new_job_id() for _ in range(20_000)]
    assert ids == sorted(set(ids))
    assert {(UUID(job_id).version, UUID(job_id).bytes[-1]) for job_id in ids} == {(7, 0)}


def test_file_ids_are_unique_and_ordered_and_end_in_the_shard():
    ids = [new_file_id() for _ in range(20_000)]
    assert ids == sorted(set(ids))
    assert all(re.fullmatch(FILE_ID, file_id) and file_id.endswith("00") for file_id in ids)
