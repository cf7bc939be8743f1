"""Embeddings: vectors of texts in one request, as clients of OpenAI's API ask for them."""

import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import orjson
from fastapi import Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response

from api.bodies import read_body
from api.errors import EmbeddingsFailed, EmbeddingsLate, Forbidden
from api.middleware.direct_routes import DirectRouter
from api.new_jobs import new_job
from api.ownership import may_read
from api.state import State, state_of
from api.waiting import until_done
from job_types.embed.contract import EMBED, MAX_TEXTS, MODEL
from shared.errors import JobServerError
from shared.record import JobState
from shared.stored_record import StoredRecord

WAIT_SECONDS = 60.0
SPARE_SECONDS = 5.0  # after which a job does not start even if this process could not cancel it
MAX_INPUTS = 2048

router = DirectRouter(tags=["embeddings"])


def _refuse_tokens(value: object) -> object:
    items = value if isinstance(value, list) else []
    if any(isinstance(item, int | list) for item in items):
        raise ValueError("must be text; the tokens of another model can't be read")
    return value


class EmbeddingsRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    model: Annotated[
        str, Field(max_length=256, description=f"Any name; the answer names the model that ran, {MODEL}.")
    ]
    input: Annotated[
        Annotated[str, Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=MAX_INPUTS)],
        BeforeValidator(_refuse_tokens),
        Field(description=f"A text, or up to {MAX_INPUTS} texts."),
    ]
    encoding_format: Annotated[
        Literal["float", "base64"], Field(description="`base64`: 32-bit floats, little-endian.")
    ] = "float"
    dimensions: Annotated[Literal[384] | None, Field(description="The only number there is.")] = None
    user: Annotated[str | None, Field(description="Ignored.")] = None

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class Embedding(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    prompt_tokens: int
    total_tokens: int


class Embeddings(BaseModel):
    """Vectors in the order of the texts."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


@router.post("/embeddings", response_model=Embeddings)
async def create_embeddings(request: Request) -> Response:
    """Each 64 texts are a job of the type `embed`, whose end is waited for, 60 s at most.

    Jobs that are late are cancelled. A client of OpenAI's API needs nothing but this server's `/v1` as its
    base URL.
    """
    wanted = await read_body(request, EmbeddingsRequest)
    if not may_read(request, request.scope.get("caller")):
        raise Forbidden("POST /embeddings needs a scope to read the caller's own jobs, such as 'read:own'.")
    state = state_of(request)
    if not await state.served_queues.serves(EMBED.queue):
        raise EmbeddingsLate(f"No worker serves the queue {EMBED.queue!r}.")
    jobs = [new_job(request, state.submissions.validate(job), None) for job in _submissions(wanted)]
    with state.quotas.waiting(request.scope, WAIT_SECONDS):
        if len(jobs) > 1 and (meter := request.scope.get("meter")):
            await meter.count(len(jobs))
        submitted = await state.queue.submit_all(jobs, state.quotas.of_jobs(request.scope))
        records = await _completed(request, [record.job_id for record, _ in submitted])
    return Response(_answer(records), media_type="application/json")


def _submissions(wanted: EmbeddingsRequest) -> list[dict[str, Any]]:
    texts = wanted.texts
    parts = [texts[at : at + MAX_TEXTS] for at in range(0, len(texts), MAX_TEXTS)]
    return [
        {
            "type": EMBED.name,
            "params": {"texts": part, "encoding": wanted.encoding_format},
            "start_within_seconds": WAIT_SECONDS + SPARE_SECONDS,
        }
        for part in parts
    ]


async def _completed(request: Request, ids: Sequence[str]) -> list[StoredRecord]:
    """The records of the jobs once they are completed.

    Raises:
        EmbeddingsLate: the time is over, or the client has left; then the jobs are cancelled.
        EmbeddingsFailed: a job has failed.
    """
    state, end = state_of(request), time.monotonic() + WAIT_SECONDS
    try:
        records = [await until_done(request, job_id, max(end - time.monotonic(), 0.0)) for job_id in ids]
        for record in records:
            if record.state is not JobState.COMPLETED:
                raise _fault_of(state, record)
    except BaseException:
        for job_id in ids:
            await state.queue.cancel(job_id)
        raise
    return records


def _fault_of(state: State, record: StoredRecord) -> JobServerError:
    errors = orjson.loads(record.fields.get(b"errors", b"[]"))
    if not errors or errors[-1]["code"] == "job_expired":
        text = f"The vectors were not ready within {WAIT_SECONDS:g} s; the jobs were cancelled."
        late = EmbeddingsLate(text)
        late.retry_after = state.run_times.retry_after(EMBED.name)
        return late
    last = errors[-1]
    return EmbeddingsFailed(f"The job {record.job_id} is {record.state}: {last['code']}: {last['message']}")


def _answer(records: Sequence[StoredRecord]) -> bytes:
    results = [orjson.loads(record.fields[b"result"]) for record in records]
    vectors = [vector for result in results for vector in result["vectors"]]
    tokens = sum(result["tokens"] for result in results)
    return orjson.dumps(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": vector}
                for index, vector in enumerate(vectors)
            ],
            "model": MODEL,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )
