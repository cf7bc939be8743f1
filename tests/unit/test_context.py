"""What a handler reports, progress and lines, reaches the record, and stays within its bounds."""

from pathlib import Path

import orjson
import pytest

from shared.record import Progress
from shared.store.model import Claim
from worker.context import JobContext

CLAIM = Claim("default", "a-job", 7, 2, 5, b"", b"{}", "a-request", "7:a-job")


def reported(job: JobContext) -> Progress:
    return Progress.model_validate_json(job.latest)


def test_a_context_shows_its_claim():
    job = JobContext.of(CLAIM, lambda: None)
    assert (job.job_id, job.attempt, job.max_attempts) == ("a-job", 2, 5)
    assert not job.cancel_requested


def test_nothing_is_to_be_sent_before_the_first_report():
    job = JobContext("a-job", 1, 3)
    assert job.latest == b""
    assert not job.unsent


def test_a_report_is_kept_until_it_is_sent_and_announced_at_once():
    calls: list[bool] = []
    job = JobContext.of(CLAIM, lambda: calls.append(job.unsent))
    job.progress(0.5, "half")
    assert orjson.loads(job.latest) == {"fraction": 0.5, "message": "half"}
    assert calls == [True]


def test_each_report_replaces_the_one_before():
    calls: list[int] = []
    job = JobContext.of(CLAIM, lambda: calls.append(1))
    job.progress(0.1)
    job.unsent = False
    job.progress(0.2, "more")
    assert reported(job) == Progress(fraction=0.2, message="more")
    assert job.unsent
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("given", "kept"),
    [(-1, 0.0), (0, 0.0), (0.25, 0.25), (1, 1.0), (1.5, 1.0), (float("inf"), 1.0), (float("-inf"), 0.0)],
)
def test_a_fraction_is_brought_into_its_range(given: float, kept: float):
    job = JobContext("a-job", 1, 3)
    job.progress(given)
    assert reported(job).fraction == kept


def test_a_fraction_that_is_no_number_still_makes_a_record_that_can_be_read():
    job = JobContext("a-job", 1, 3)
    job.progress(float("nan"))
    assert 0 <= reported(job).fraction <= 1


def test_a_message_that_utf8_can_not_carry_still_makes_a_report():
    job = JobContext("a-job", 1, 3)
    job.progress(0.5, "half a \ud83d smile")
    assert reported(job).fraction == 0.5


def test_a_context_can_be_made_by_hand_and_reports_to_nobody():
    job = JobContext("a-job", 1, 3)
    job.progress(1)
    assert reported(job) == Progress(fraction=1.0, message="")


# -- the log


@pytest.fixture
def job() -> JobContext:
    return JobContext.of(CLAIM, lambda: None)


def numbered(job: JobContext) -> list[tuple[int, str]]:
    """The lines on their way to the log: each one's number and message."""
    lines = [line.split(b" ", 2) for line in job.news().lines.splitlines()]
    return [(int(number), orjson.loads(body)["message"]) for number, _, body in lines]


def test_lines_are_sent_until_they_have_arrived(job):
    job.log("one")
    first = job.news()
    job.log("two")
    assert numbered(job) == [(1, "one"), (2, "two")]
    job.arrived(first)
    assert job.unsent
    assert numbered(job) == [(2, "two")]
    job.arrived(job.news())
    assert not job.unsent
    assert job.news().lines == b""


def test_a_line_has_its_attempt_and_its_age(job):
    job.log("hello", n=1, path=Path("/x"))
    number, age, body = job.news().lines.split(b" ", 2)
    assert (int(number), 0 <= int(age) < 5000) == (1, True)
    fields = {"n": 1, "path": "PosixPath('/x')"}
    assert orjson.loads(body) == {"attempt": 2, "message": "hello", "fields": fields}


def test_too_many_lines_at_once_lose_the_oldest_and_say_so(job):
    for n in range(1, 1501):
        job.log(str(n))
    lines = numbered(job)
    assert lines[0] == (500, "Lines were dropped: too many came at once.")
    assert lines[1:] == [(n, str(n)) for n in range(501, 1501)]
    assert b'"dropped":500' in job.news().lines
    job.arrived(job.news())
    job.log("next")
    assert numbered(job) == [(1501, "next")]


def test_progress_that_is_reported_while_the_last_one_is_on_its_way_is_news(job):
    job.progress(0.1)
    news = job.news()
    job.progress(0.2)
    job.arrived(news)
    assert job.unsent
    assert b"0.2" in job.news().progress
