"""Stored records, read as the JobRecord that clients get."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some

from shared.record import EXAMPLE_RECORD, TERMINAL_STATES, JobRecord, JobState
from shared.stored_record import StoredRecord, WaitEstimate

LEAST = {
    b"type": b"echo",
    b"queue": b"default",
    b"state": b"pending",
    b"params": b'{"message":"hi"}',
    b"max_attempts": b"3",
    b"version": b"1",
    b"created_at": b"1767268800002",
}
ERROR = {"code": "handler_error", "message": "No.", "hint": "Look.", "retryable": True, "attempt": 1}
MOST = LEAST | {
    b"state": b"failed",
    b"result": b'{"deep":[1,{"a":null}]}',
    b"progress": b'{"fraction":0.25,"message":"a quarter"}',
    b"errors": orjson.dumps([{**ERROR, "at": 1767268801000}, {**ERROR, "attempt": 2, "at": 1767268802345}]),
    b"attempt": b"2",
    b"cancel_requested": b"1",
    b"labels": b'{"team":"blue"}',
    b"webhook": b"https://example.com/hook",
    b"retry_of": b"an-older-job",
    b"version": b"7",
    b"run_at": b"1767268800500",
    b"started_at": b"1767268801500",
    b"finished_at": b"1767268802345",
    b"expires_at": b"1767355202345",
}
TIMES = ("created_at", "run_at", "started_at", "finished_at", "expires_at")


ALWAYS_SHOWN = [name for name in JobRecord.model_fields if name != "queue_position_estimated"]


def shown(fields: dict[bytes, bytes]) -> dict:
    return orjson.loads(StoredRecord("a-job", fields).to_json())


@pytest.mark.parametrize("fields", [LEAST, MOST], ids=["least", "most"])
def test_the_fields_are_those_of_the_model_in_its_order(fields: dict[bytes, bytes]):
    assert list(shown(fields)) == ALWAYS_SHOWN


def test_absent_fields_are_null_false_zero_or_empty():
    assert shown(LEAST) == {
        "job_id": "a-job",
        "type": "echo",
        "queue": "default",
        "state": "pending",
        "done": False,
        "params": {"message": "hi"},
        "result": None,
        "progress": None,
        "artifacts": [],
        "errors": [],
        "attempt": 0,
        "max_attempts": 3,
        "cancel_requested": False,
        "labels": {},
        "webhook": None,
        "retry_of": None,
        "caller": None,
        "version": 1,
        "created_at": "2026-01-01T12:00:00.002000Z",
        "run_at": None,
        "start_by": None,
        "started_at": None,
        "finished_at": None,
        "expires_at": None,
        "queue_position": None,
        "estimated_wait_seconds": None,
        "queue_paused": False,
    }


def test_present_fields_come_out_as_they_are_stored():
    record = shown(MOST)
    assert record["result"] == {"deep": [1, {"a": None}]}
    assert record["progress"] == {"fraction": 0.25, "message": "a quarter"}
    assert record["attempt"] == 2
    assert record["cancel_requested"] is True
    assert record["labels"] == {"team": "blue"}
    assert record["webhook"] == {"url": "https://example.com/hook"}
    assert record["retry_of"] == "an-older-job"
    assert record["version"] == 7
    assert record["expires_at"] == "2026-01-02T12:00:02.345000Z"


def test_an_error_carries_its_time_as_a_time():
    first, second = shown(MOST)["errors"]
    assert first == ERROR | {"at": "2026-01-01T12:00:01Z"}
    assert second == ERROR | {"attempt": 2, "at": "2026-01-01T12:00:02.345000Z"}


def test_every_time_ends_in_z():
    record = shown(MOST)
    assert all(record[name].endswith("Z") for name in TIMES)
    assert all(error["at"].endswith("Z") for error in record["errors"])


@pytest.mark.parametrize("state", JobState)
def test_done_is_true_for_the_terminal_states_alone(state: JobState):
    stored = StoredRecord("a-job", LEAST | {b"state": state.encode()})
    expected = state in {"completed", "failed", "cancelled"}
    assert stored.done is expected
    assert shown(dict(stored.fields))["done"] is expected
    assert (state in TERMINAL_STATES) is expected


@pytest.mark.parametrize("fields", [LEAST, MOST], ids=["least", "most"])
def test_a_record_goes_through_the_model_unchanged(fields: dict[bytes, bytes]):
    parsed = StoredRecord("a-job", fields).parse()
    assert isinstance(parsed, JobRecord)
    assert orjson.loads(parsed.model_dump_json()) == shown(fields)


def test_a_parsed_record_is_typed():
    record = StoredRecord("a-job", MOST).parse()
    assert record.state is JobState.FAILED
    assert record.finished_at == datetime(2026, 1, 1, 12, 0, 2, 345_000, UTC)
    assert record.errors[1].at == record.finished_at
    assert record.progress is not None
    assert record.progress.fraction == 0.25


@given(some.integers(0, 4_102_444_800_000))
def test_every_millisecond_comes_out_exactly(milliseconds: int):
    created_at = StoredRecord("a-job", LEAST | {b"created_at": b"%d" % milliseconds}).parse().created_at
    assert created_at == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


@pytest.mark.parametrize("params", [{}, {"é": ["\u0000", "🙂", None]}, {"a": {"b": [1.5, True, '"']}}])
def test_params_come_out_as_they_went_in(params: dict):
    assert shown(LEAST | {b"params": orjson.dumps(params)})["params"] == params


def test_what_is_read_most_is_there_without_rendering():
    stored = StoredRecord("a-job", MOST)
    assert (stored.type, stored.state, stored.version) == ("echo", JobState.FAILED, 7)


@pytest.mark.parametrize("estimated", [True, False])
def test_a_position_says_that_it_is_an_estimate_only_if_it_is(estimated: bool):
    estimate = WaitEstimate(8, 1.5, estimated)
    record = orjson.loads(StoredRecord("a-job", LEAST).to_json(estimate))
    assert record.get("queue_position_estimated") is (True if estimated else None)
    assert orjson.loads(JobRecord.model_validate(record).model_dump_json()) == record
    assert {*record} - {"queue_position_estimated"} == {*ALWAYS_SHOWN}


def test_the_example_is_a_record_with_every_field_in_order():
    record = JobRecord.model_validate_json(orjson.dumps(EXAMPLE_RECORD))
    assert list(EXAMPLE_RECORD) == ALWAYS_SHOWN
    assert record.state is JobState.COMPLETED
    assert record.done
