"""Models read from records of the server."""

import pytest

from client import Job
from tests.unit.client.fake_server import FAILURE, record


def test_unknown_fields_stay_in_raw():
    job = Job.from_record(record("running", caller="me"))
    assert job.raw["caller"] == "me"


def test_a_place_in_the_queue_may_be_an_estimate():
    exact = Job.from_record(record(queue_position=3, estimated_wait_seconds=1.5))
    about = Job.from_record(record(queue_position=24, queue_position_estimated=True))
    assert (exact.queue_position, exact.queue_position_estimated, exact.estimated_wait_seconds) == (
        3,
        False,
        1.5,
    )
    assert (about.queue_position, about.queue_position_estimated) == (24, True)
    assert Job.from_record(record()).queue_position is None


@pytest.mark.parametrize("field", ["created_at", "errors", "artifacts"])
def test_a_required_field_is_neither_missing_nor_null(field: str):
    for broken in ({**record(), field: None}, {name: record()[name] for name in record() if name != field}):
        with pytest.raises((KeyError, TypeError)):
            Job.from_record(broken)


def test_a_full_record_becomes_a_job():
    artifact = {"name": "a.png", "content_type": "image/png", "size": 9, "sha256": "0", "url": "/a", "new": 1}
    progress = {"fraction": 0.5, "message": "half", "new": 1}
    job = Job.from_record(
        record("failed", artifacts=[artifact], errors=[{**FAILURE, "new": 1}], progress=progress)
    )
    assert job.progress is not None
    assert (job.progress.fraction, job.progress.message) == (0.5, "half")
    assert (job.artifacts[0].name, job.artifacts[0].size) == ("a.png", 9)
    assert (job.errors[0].code, job.errors[0].attempt) == ("flaky_final", 1)
    assert job.created_at.isoformat() == "2026-01-01T12:00:00+00:00"
    assert job.expires_at is None
