"""Job types with real models: over HTTP, alone and in batches, and by OpenAI's own client."""

import base64
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dev.service import Service, serving
from dev.stack import wait_until

pytestmark = pytest.mark.models
NEAR, OTHER, FAR = "A cat sits on the mat.", "A kitten lies on a rug.", "Interest rates rose again."


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    settings = {"WORKER_QUEUES": "embed,identify_file", "WORKER_CONCURRENCY": "128"}
    with serving(workers=1, **settings) as service:
        wait_until(lambda: len(service.workers[0].log("model loaded")) == 2, "the models are loaded")
        yield service


def embed(service: Service, *texts: str, **params: Any) -> dict[str, Any]:
    body = {"type": "embed", "params": {"texts": texts, **params}}
    record = service.call("POST", "/jobs?wait=60", json=body).json()
    result: dict[str, Any] = record["result"]
    return result


def product(first: list[float], second: list[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))


def test_near_texts_have_near_vectors(service: Service) -> None:
    first, second, third = embed(service, NEAR, OTHER, FAR)["vectors"]
    assert product(first, first) == pytest.approx(1)
    assert product(first, second) > 0.5 > 0.2 > product(first, third)


def test_a_vector_is_the_same_alone_and_among_others(service: Service) -> None:
    alone = embed(service, NEAR)["vectors"][0]
    texts = [NEAR, *(f"{FAR} {'and more ' * n}" for n in range(100))]
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda text: embed(service, text)["vectors"][0], texts * 2))
    for vector in (found[0], found[len(texts)]):
        assert max(abs(a - b) for a, b in zip(alone, vector, strict=True)) < 1e-5


def test_base64_is_the_same_vector(service: Service) -> None:
    [vector] = embed(service, NEAR)["vectors"]
    [encoded] = embed(service, NEAR, encoding="base64")["vectors"]
    assert struct.unpack("<384f", base64.b64decode(encoded)) == pytest.approx(vector, abs=1e-6)


def test_a_file_is_identified_by_its_bytes(service: Service) -> None:
    upload = service.call("POST", "/files", content=b"import os\nprint(os.name)\n" * 20)
    result = service.run("identify_file", file=upload.json()["file_id"])["result"]
    assert (result["label"], result["is_text"]) == ("python", True)


def test_the_client_of_openai_needs_another_base_url_alone(service: Service) -> None:
    import openai

    client = openai.OpenAI(base_url=f"{service.stack.api_url}/v1", api_key="unused")
    answer = client.embeddings.create(model="text-embedding-3-small", input=[NEAR, OTHER] * 50)
    assert [item.index for item in answer.data] == list(range(100))
    assert product(answer.data[0].embedding, embed(service, NEAR)["vectors"][0]) == pytest.approx(1)
    assert answer.usage.total_tokens == embed(service, *[NEAR, OTHER] * 25)["tokens"] * 2
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.embeddings.create(model="m", input=[[1, 2, 3]])
    assert caught.value.code == "invalid_request"
    client.close()
