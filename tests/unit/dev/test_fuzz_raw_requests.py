"""The raw requests of the fuzzer, and the faults it finds in their answers."""

import random

import httpx
import pytest

from fuzz.raw_requests import RequestGenerator, fault_of

IDS = {"job_id": "a-job", "file_id": "a-file", "name": "out.png"}
ENVELOPE = {"code": "c", "message": "m", "hint": "h", "retryable": False, "request_id": "r", "details": []}


def answer(status: int, method: str = "GET", request_id: str = "r", **body) -> httpx.Response:
    request = httpx.Request(method, "http://jobs.test/")
    return httpx.Response(status, headers={"X-Request-ID": request_id}, request=request, **body)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (answer(200, json={}), None), (answer(404, json=ENVELOPE), None), (answer(304), None),
        (answer(404, "HEAD"), None), (answer(500, json=ENVELOPE), "Status 500"),
        (answer(404, text="Not Found"), "outside of the envelope"), (answer(404, json={}), "outside"),
        (answer(404, request_id="x", json=ENVELOPE), "another request"), (answer(405, "HEAD"), "not served"),
        (answer(200, "HEAD", content=b"x"), "must be none"), (answer(304, content=b"x"), "must be none"),
    ],
)  # fmt: skip
def test_an_answer_is_judged(given, fault):
    found = fault_of(given)
    assert found is None if fault is None else fault in found


def test_a_seed_makes_the_same_requests_again():
    def made(seed: int) -> list[str]:
        generator = RequestGenerator(random.Random(seed), IDS, ["/v1/jobs/{job_id}", "/v1/files/{file_id}"])
        return [str(make()) for make in generator.kinds().values() for _ in range(50)]

    assert made(1) == made(1)
    assert made(1) != made(2)
