"""The JSON of a record, made of its stored words: byte for byte that of an encoder."""

from datetime import UTC, datetime, timedelta

import orjson
from hypothesis import given
from hypothesis import strategies as some

from shared.record import JobState
from shared.stored_record import StoredRecord, WaitEstimate

STORED_JSON = some.sampled_from(
    [b"null", b"1", b'"text"', b'{"a":[1,2.5,null]}', '{"é":"\\u0000🙂"}'.encode()]
)
STORED_TIMES = some.integers(0, 4_102_444_800_000).map(lambda number: b"%d" % number)
NAMES = some.text('aZ0-"\\/\u2028é🙂\x01 ', min_size=1, max_size=9)
TEXTS = NAMES.map(str.encode)
ERRORS = some.lists(
    some.fixed_dictionaries({"code": some.just("c"), "message": NAMES, "at": some.integers(0, 10**12)})
).map(orjson.dumps)
ALWAYS = {
    b"type": some.sampled_from([b"echo", b"word_count"]),
    b"queue": some.sampled_from([b"default", b"gpu.large-2"]),
    b"state": some.sampled_from([state.value.encode() for state in JobState]),
    b"version": some.integers(1, 10**12).map(lambda number: b"%d" % number),
    b"max_attempts": some.integers(1, 100).map(lambda number: b"%d" % number),
    b"created_at": STORED_TIMES,
    b"params": STORED_JSON,
}
SOMESTORED_TIMES = {
    b"params_shown": STORED_JSON,
    b"result": STORED_JSON,
    b"progress": some.sampled_from([b'{"fraction":0.5,"message":"half"}']),
    b"errors": ERRORS,
    b"artifacts": some.sampled_from([b"[]", b'[{"name":"a b.png","size":3}]']),
    b"attempt": some.integers(0, 100).map(lambda number: b"%d" % number),
    b"cancel_requested": some.just(b"1"),
    b"labels": some.sampled_from([b"{}", b'{"team":"x"}']),
    b"webhook": TEXTS,
    b"retry_of": TEXTS,
    b"caller": TEXTS,
    **dict.fromkeys([b"run_at", b"start_by", b"started_at", b"finished_at", b"expires_at"], STORED_TIMES),
}


def encoded(job_id: str, fields: dict[bytes, bytes], estimate: WaitEstimate | None) -> bytes:
    """The JSON of a record as an encoder writes it."""

    def fragment(name: bytes, otherwise: bytes = b"null") -> orjson.Fragment:
        return orjson.Fragment(fields.get(name, otherwise))

    def text(name: bytes) -> str | None:
        return fields[name].decode() if name in fields else None

    def time(name: bytes) -> datetime | None:
        return moment(int(fields[name])) if name in fields else None

    state = fields[b"state"].decode()
    artifacts = orjson.loads(fields.get(b"artifacts", b"[]"))
    errors = orjson.loads(fields.get(b"errors", b"[]"))
    record = {
        "job_id": job_id,
        "type": text(b"type"),
        "queue": text(b"queue"),
        "state": state,
        "done": state in ("completed", "failed", "cancelled"),
        "params": fragment(b"params_shown") if b"params_shown" in fields else fragment(b"params"),
        "result": fragment(b"result"),
        "progress": fragment(b"progress"),
        "artifacts": [{**a, "url": f"/v1/jobs/{job_id}/artifacts/{a['name']}"} for a in artifacts],
        "errors": [{**error, "at": moment(error["at"])} for error in errors],
        "attempt": int(fields.get(b"attempt", 0)),
        "max_attempts": int(fields[b"max_attempts"]),
        "cancel_requested": b"cancel_requested" in fields,
        "labels": fragment(b"labels", b"{}"),
        "webhook": {"url": text(b"webhook")} if b"webhook" in fields else None,
        "retry_of": text(b"retry_of"),
        "caller": text(b"caller"),
        "version": int(fields[b"version"]),
        "created_at": time(b"created_at"),
        "run_at": time(b"run_at"),
        "start_by": time(b"start_by"),
        "started_at": time(b"started_at"),
        "finished_at": time(b"finished_at"),
        "expires_at": time(b"expires_at"),
        "queue_position": estimate and estimate.queue_position,
        **({"queue_position_estimated": True} if estimate and estimate.queue_position_estimated else {}),
        "estimated_wait_seconds": estimate and estimate.estimated_wait_seconds,
        "queue_paused": b"queue_paused" in fields,
    }
    return orjson.dumps(record, option=orjson.OPT_UTC_Z)


def moment(milliseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


@given(
    NAMES,
    some.fixed_dictionaries(ALWAYS, optional=SOMESTORED_TIMES),
    some.none() | some.builds(WaitEstimate, some.integers(1, 10**6), some.none() | some.floats(0, 1e6)),
)
def test_the_json_is_that_of_an_encoder(
    job_id: str, fields: dict[bytes, bytes], estimate: WaitEstimate | None
):
    assert StoredRecord(job_id, fields).to_json(estimate) == encoded(job_id, fields, estimate)
