"""Tables: aligned columns that fit the terminal."""

import sys

import pytest

from client import Attempt, Job, QueueStatus
from client.command_line.tables import attempts_table, jobs_table, queues_table
from tests.unit.client.fake_server import FAILURE, PAUSED, queue_record, record


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make standard output a terminal with 80 columns."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("client.command_line.tables.columns", lambda _: 80)


def queue(**fields: object) -> QueueStatus:
    return QueueStatus.from_record(queue_record(**fields))


def test_an_empty_table_is_its_heading():
    assert list(jobs_table([])) == ["ID  TYPE  STATE  ATTEMPT  CREATED  LABELS"]


@pytest.mark.usefixtures("narrow")
def test_the_last_column_is_cut_on_a_terminal():
    paused = queue(**{**PAUSED, "pause": {**PAUSED["pause"], "reason": "long " * 50}})
    heading, line = queues_table([paused])
    assert len(heading) < 80
    assert len(line) == 80
    assert line.endswith("...")


def test_nothing_is_cut_for_another_program():
    paused = queue(**{**PAUSED, "pause": {**PAUSED["pause"], "reason": "long " * 50}})
    *_, line = queues_table([paused])
    assert line.count("long") == 50


@pytest.mark.usefixtures("narrow")
def test_a_column_without_room_is_not_cut():
    labels = {"team": "vision", "run": "7"}
    job = Job.from_record(record(type="a" * 64, labels=labels))
    *_, line = jobs_table([job])
    assert line.endswith("team=vision run=7")


@pytest.mark.usefixtures("narrow")
def test_usual_rows_fit_80_columns():
    attempt = Attempt.from_record(
        {
            "attempt": 1,
            "started_at": "2026-01-01T12:00:00.000000Z",
            "ended_at": "2026-01-01T12:59:59.250000Z",
            "outcome": "cancelled",
            "worker": "0a1b2c3d4e5f",
            "error": FAILURE,
        }
    )
    large = {"ready": 100_000, "scheduled": 100_000, "running": 400, "concurrency": 1000, "workers": 100}
    tables = [attempts_table([attempt]), queues_table([queue(name="transcription", **large, **PAUSED)])]
    assert [len(line) for table in tables for line in table if len(line) > 80] == []


def test_a_text_of_a_job_is_one_line():
    *_, line = jobs_table([Job.from_record(record(labels={"a\x1b[2J": "b\nc"}))])
    assert line.endswith("a [2J=b c")
