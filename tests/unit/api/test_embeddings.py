"""`POST /v1/embeddings`: vectors in one request, in the form of OpenAI's API."""

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import orjson
import pytest
from starlette.requests import Request

from api.routes import embeddings
from api.state import state_of
from job_types.embed.contract import MODEL
from shared.store.job_leases import Claim, Finished, Outcome, OutcomeKind
from shared.stored_record import StoredRecord


class Embedder:
    """A worker that gives each text a vector with its length."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self.claims: list[Claim] = []

    async def perform(self, count: int = 1, outcome: Outcome | None = None) -> None:
        """Perform jobs as they come."""
        while len(self.claims) < count:
            step = await self._worker.step(slots=10)
            self.claims += step.claims
            await self._worker.step(*(Finished(claim, outcome or _embed(claim)) for claim in step.claims))
            await asyncio.sleep(0)


def _embed(claim: Claim) -> Outcome:
    texts = orjson.loads(claim.params)["texts"]
    result = {"model": MODEL, "vectors": [[float(len(text))] for text in texts], "tokens": 2 * len(texts)}
    return Outcome(OutcomeKind.COMPLETED, orjson.dumps(result))


async def poll(request: Request, job_id: str, seconds: float) -> StoredRecord:
    """Wait as `until_done` does, but without Redis' announcements, which a fake Redis lacks."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not (record := await state_of(request).queue.get(job_id)).done:
                await asyncio.sleep(0)
    return record


@pytest.fixture
def embedder(worker: Any, monkeypatch: pytest.MonkeyPatch) -> Embedder:
    monkeypatch.setattr(embeddings, "until_done", poll)
    worker.info = replace(worker.info, queues=("embed",))
    return Embedder(worker)


@pytest.fixture(autouse=True)
async def _live(worker: Any) -> None:
    """A live worker that serves the queue."""
    await replace(worker, info=replace(worker.info, queues=("embed",))).beat()


async def ask(client: Any, embedder: Embedder, jobs: int = 1, **body: Any) -> Any:
    answer, _ = await asyncio.gather(
        client.post("/v1/embeddings", json={"model": "any", **body}), embedder.perform(jobs)
    )
    return answer


async def test_a_text_has_a_vector(client, embedder):
    answer = await ask(client, embedder, input="four")
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": [4.0]}],
            "model": MODEL,
            "usage": {"prompt_tokens": 2, "total_tokens": 2},
        },
    )


async def test_many_texts_are_several_jobs_in_order(client, embedder):
    texts = ["x" * (n + 1) for n in range(130)]
    answer = await ask(client, embedder, 3, input=texts)
    assert [item["embedding"] for item in answer.json()["data"]] == [[n + 1.0] for n in range(130)]
    assert answer.json()["usage"]["total_tokens"] == 260


async def test_the_encoding_reaches_the_job(client, embedder):
    await ask(client, embedder, input="a", encoding_format="base64", dimensions=384, user="somebody")
    assert orjson.loads(embedder.claims[0].params)["encoding"] == "base64"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"input": "a"}, "model"),
        ({"model": "m"}, "input"),
        ({"model": "m", "input": ""}, "input"),
        ({"model": "m", "input": []}, "input"),
        ({"model": "m", "input": ["a"] * 2049}, "input"),
        ({"model": "m", "input": [1, 2]}, "input"),
        ({"model": "m", "input": [[1, 2]]}, "input"),
        ({"model": "m", "input": "a", "dimensions": 512}, "dimensions"),
        ({"model": "m", "input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"model": "m", "input": "a", "other": 1}, "other"),
    ],
)
async def test_a_wrong_request_is_refused(client, body, path):
    answer = await client.post("/v1/embeddings", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert {detail["path"] for detail in answer.json()["details"]} == {path}


async def test_vectors_that_are_late_are_cancelled(client, embedder, monkeypatch):
    monkeypatch.setattr(embeddings, "WAIT_SECONDS", 0.05)
    answer = await client.post("/v1/embeddings", json={"model": "m", "input": "a"})
    assert (answer.status_code, answer.json()["code"]) == (503, "embeddings_late")
    assert int(answer.headers["Retry-After"]) >= 1
    [job] = (await client.get("/jobs")).json()["items"]
    assert job["state"] == "cancelled"


async def test_without_a_worker_there_is_no_wait(client, fake_redis):
    await fake_redis.flushall()
    answer = await client.post("/v1/embeddings", json={"model": "m", "input": "a"})
    assert (answer.status_code, answer.json()["message"]) == (503, "No worker serves the queue 'embed'.")
    assert (await client.get("/jobs")).json()["items"] == []


async def test_a_failed_job_says_why(client, embedder):
    error = b'{"code":"process_crashed","message":"It died.","hint":"h","retryable":false,"attempt":1}'
    failed = Outcome(OutcomeKind.FAILED, error)
    answer, _ = await asyncio.gather(
        client.post("/v1/embeddings", json={"model": "m", "input": "a"}), embedder.perform(1, failed)
    )
    assert (answer.status_code, answer.json()["code"]) == (500, "embeddings_failed")
    assert "process_crashed: It died." in answer.json()["message"]
