"""Jobs as a client sees them, from their submission to their end."""

import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from dev.leftover_keys import find_leftovers
from dev.service import Record, Service, json_lines, serving
from dev.stack import PATIENCE, wait_until
from job_types.flaky.contract import FLAKY
from shared.store import redis_keys


@pytest.fixture(scope="module")
def deserted_service() -> Iterator[Service]:
    """An API and Redis without any worker."""
    with serving() as service:
        yield service


# -- each job type


@pytest.mark.parametrize("message", ["hello", None, {"deep": [1, 2.5, "ü", {"x": False}]}, 2**53, ""])
def test_echo_gives_back_what_it_got(service: Service, message: object) -> None:
    record = service.run("echo", message=message)

    assert record["result"] == record["params"] == {"message": message}


def test_a_long_text_is_counted_to_the_word(service: Service) -> None:
    dice = random.Random(7)
    vocabulary = [f"word{n}" for n in range(5000)]
    lines = [" ".join(dice.choices(vocabulary, k=10)) for _ in range(11_800)]
    text = "\n".join(lines)
    assert 1_000_000 < len(text) < 1_048_576

    record = service.run("word_count", text=text, top=100)

    words = text.split()
    expected = Counter(words)
    result = record["result"]
    assert (result["lines"], result["words"], result["unique"]) == (11_800, len(words), len(expected))
    assert [(entry["word"], entry["count"]) for entry in result["top"]] == expected.most_common(100)
    assert record["params"]["text"] == text


def test_sleep_takes_its_time_and_shows_its_progress(service: Service) -> None:
    job_id = service.submit("sleep", seconds=1)
    shown: list[float] = []

    def done() -> bool:
        record = service.job(job_id)
        if record["progress"]:
            shown.append(record["progress"]["fraction"])
        return bool(record["done"])

    start = time.monotonic()
    wait_until(done, "the job is done")

    assert time.monotonic() - start > 0.9
    assert service.job(job_id)["result"] == {"slept": 1}
    assert shown == sorted(shown)
    assert len(set(shown)) > 3
    assert shown[-1] == 1


def test_flaky_succeeds_after_its_failures(service: Service) -> None:
    record = service.run("flaky", failures=2)

    assert record["result"] == {"attempts": 3}
    assert record["attempt"] == 3
    assert [error["attempt"] for error in record["errors"]] == [1, 2]
    assert {error["code"] for error in record["errors"]} == {"flaky_failure"}
    assert record["errors"][1]["message"] == "This is failure 2 of 2."
    assert all(error["retryable"] for error in record["errors"])


def test_a_final_error_fails_the_job_at_once(service: Service) -> None:
    record = service.wait_for(service.submit("flaky", failures=2, final=True), "failed")

    assert record["attempt"] == 1
    assert record["result"] is None
    assert [(error["code"], error["retryable"]) for error in record["errors"]] == [("flaky_final", False)]


def test_a_job_that_fails_every_time_fails_after_its_last_attempt(service: Service) -> None:
    record = service.wait_for(service.submit("flaky", failures=100), "failed")

    assert record["attempt"] == record["max_attempts"] == FLAKY.max_attempts
    assert [error["attempt"] for error in record["errors"]] == [1, 2, 3, 4, 5]
    assert record["expires_at"] > record["finished_at"] >= record["started_at"] > record["created_at"]


# -- cancelling


def test_a_waiting_job_is_cancelled_at_once(deserted_service: Service) -> None:
    service = deserted_service
    job_id = service.submit("echo", message="never")

    answer = service.call("DELETE", f"/jobs/{job_id}")

    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["attempt"]) == ("cancelled", 0)
    assert service.call("DELETE", f"/jobs/{job_id}").status_code == 200
    assert not service.redis.exists(redis_keys.QUEUE + "default", redis_keys.MESSAGE + job_id)


def test_a_running_job_is_cancelled_before_the_next_heartbeat(service: Service) -> None:
    job_id = service.submit_running("sleep", seconds=600)

    answer = service.call("DELETE", f"/jobs/{job_id}")

    assert answer.status_code == 202
    assert answer.json()["cancel_requested"]
    record = service.wait_for(job_id, "cancelled", seconds=3)  # a heartbeat alone would bring it after 5 s
    assert (record["attempt"], record["result"], record["errors"]) == (1, None, [])
    assert service.call("DELETE", f"/jobs/{job_id}").status_code == 200
    assert service.job(job_id) == record


@pytest.mark.parametrize(("final", "state"), [(False, "completed"), (True, "failed")])
def test_a_finished_job_can_not_be_cancelled(service: Service, final: bool, state: str) -> None:
    record = service.wait_for(service.submit("flaky", final=final), state)

    answer = service.call("DELETE", f"/jobs/{record['job_id']}")

    assert answer.status_code == 409
    assert answer.json()["code"] == "job_already_finished"
    assert service.job(record["job_id"]) == record


# -- logs


def test_the_request_id_follows_the_job_into_the_worker_log(service: Service) -> None:
    job_id = service.submit("flaky", headers={"X-Request-ID": "from-the-caller"}, failures=1)
    service.wait_for(job_id, "completed")

    def lines() -> list[Record]:
        return [line for worker in service.workers for line in worker.lines if line.get("job_id") == job_id]

    events = Counter(line["event"] for line in lines())
    assert events == {"job started": 2, "job retry": 1, "job completed": 1}
    assert {line["request_id"] for line in lines()} == {"from-the-caller"}
    asked = [line for line in api_lines(service) if line.get("request_id") == "from-the-caller"]
    assert [(line["method"], line["path"], line["status"]) for line in asked] == [("POST", "/jobs", 202)]


def test_every_log_line_is_a_json_object(service: Service) -> None:
    service.run("echo", message="line\nbreak")
    service.call("GET", "/nowhere")

    assert api_lines(service)
    for worker in service.workers:
        assert worker.log("worker started")
    for line in (
        line for source in (api_lines(service), *(w.lines for w in service.workers)) for line in source
    ):
        assert {"event", "level", "time"} <= set(line)


# -- many


def test_a_thousand_jobs_leave_nothing_but_their_records(deserted_service: Service) -> None:
    service = deserted_service
    service.reset()
    kinds: list[tuple[str, Record, str]] = [
        *[("echo", {"message": n}, "completed") for n in range(500)],
        *[("word_count", {"text": "a b " * n}, "completed") for n in range(250)],
        *[("sleep", {"seconds": 0.01}, "completed") for _ in range(100)],
        *[("flaky", {"failures": 1}, "completed") for _ in range(100)],
        *[("flaky", {"final": True}, "failed") for _ in range(50)],
    ]
    random.Random(7).shuffle(kinds)
    workers = service.start_workers(2)

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda kind: service.submit(kind[0], **kind[1]), kinds))
        wait_until(lambda: jobs_done(service) == 1000, "all jobs are done")
        records = list(pool.map(service.job, ids))

    assert len(set(ids)) == 1000
    assert [record["state"] for record in records] == [state for _, _, state in kinds]
    for record, (job_type, params, _) in zip(records, kinds, strict=True):
        assert record["type"] == job_type
        assert record["attempt"] == 1 + len(record["errors"]) - (record["state"] == "failed")
        if job_type == "echo":
            assert record["result"] == params
    info = service.info()
    assert info["jobs"] == {"pending": 0, "running": 0, "completed": 950, "failed": 50, "cancelled": 0}
    assert info["queues"]["default"] == {"waiting": 0, "running": 0}
    assert all(worker.log("job completed") for worker in workers)

    wait_until(lambda: not find_leftovers(service.redis)[1], "nothing is left over")
    count, _ = find_leftovers(service.redis)
    assert count > 1000


def jobs_done(service: Service) -> int:
    jobs = service.info()["jobs"]
    return int(jobs["completed"] + jobs["failed"] + jobs["cancelled"])


def api_lines(service: Service) -> list[Record]:
    return json_lines(service.stack.output("api"))


def test_a_negative_zero_stays_negative(service: Service) -> None:
    record = service.run("echo", message=[-0.0])

    assert str(record["params"]["message"]) == "[-0.0]"
    assert str(record["result"]["message"]) == "[-0.0]"


# -- the wire


def talk(service: Service, *sent: bytes, ends: bytes) -> bytes:
    """Bytes of one connection up to `ends`; each text is sent once the text before is answered."""
    url = httpx.URL(service.stack.api_url)
    received = b""
    with socket.create_connection((url.host, url.port), timeout=PATIENCE) as connection:
        for text in sent:
            connection.sendall(text)
            received += connection.recv(65_536)
        while not received.endswith(ends):
            piece = connection.recv(65_536)
            assert piece, received
            received += piece
    return received


def test_the_head_of_a_stream_leaves_the_connection_in_order(service: Service) -> None:
    job_id = service.submit_for_later("echo", message=1)
    lines = b"HTTP/1.1\r\nHost: localhost\r\n\r\n"
    requests = b"HEAD /jobs/%b/events " % job_id.encode() + lines + b"GET /healthz " + lines

    received = talk(service, requests, ends=b'{"status":"ok"}')

    service.call("DELETE", f"/jobs/{job_id}")
    first, second, body = received.split(b"\r\n\r\n")  # and nothing between the two heads
    assert b"text/event-stream" in first
    assert second.startswith(b"HTTP/1.1 200 ")
    assert body == b'{"status":"ok"}'


def test_a_client_that_expects_an_answer_gets_it_before_it_sends(service: Service) -> None:
    body = b'{"type":"echo","params":{"message":1}}'
    head = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Expect: 100-continue\r\n"

    received = talk(service, head + b"Content-Length: %d\r\n\r\n" % len(body), body, ends=b"}")

    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 ")
    refused = talk(service, head + b"Content-Length: 99999999\r\n\r\n", ends=b"}")
    assert refused.startswith(b"HTTP/1.1 413 ")
