"""Models read from records of the server."""

from client import Job
from tests.unit.client.fake_server import FAILURE, record


def test_unknown_fields_stay_in_raw():
    job = Job.from_record(record("running", caller="me", queue_position=3))
    assert (job.raw["caller"], job.raw["queue_position"]) == ("me", 3)


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
