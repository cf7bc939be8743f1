"""Handler of the job type `embed`."""

import base64
from typing import TYPE_CHECKING

from job_types.embed.contract import EMBED, MAX_TOKENS, MODEL, EmbedParams, EmbedResult
from worker.models.batch import Batch, Device
from worker.registry import handles

if TYPE_CHECKING:
    from job_types.embed.model import Embeddings, Model

TOKENS_A_BATCH = 4096  # less than a second of one processor
CHARACTERS_A_TOKEN = 4  # of English; an estimate, because this runs in the worker's event loop
DIGITS = 8  # after the point: as exact as the model's 32-bit floats, and half as long in JSON


def load(device: Device) -> "Model":
    """Load the model in the process that is to hold it; no other process imports its libraries."""
    from job_types.embed.model import Model

    return Model(device.name, device.threads)


def estimate_tokens(params: EmbedParams) -> int:
    """The tokens of a job, about; those of each text are bounded."""
    return sum(min(len(text) // CHARACTERS_A_TOKEN + 2, MAX_TOKENS) for text in params.texts)


@handles(
    EMBED,
    batch=Batch(
        setup=load,
        size=32,
        cost=TOKENS_A_BATCH,
        cost_of=estimate_tokens,
        padded=False,  # the model sorts the texts of all jobs by their length
        setup_timeout=120,
    ),
)
def embed(model: "Model", params: list[EmbedParams]) -> list[EmbedResult]:
    """Embed the texts of all jobs together."""
    found = model.embed([text for job in params for text in job.texts])
    results, begin = [], 0
    for job in params:
        end = begin + len(job.texts)
        results.append(result_of(job, found, begin, end))
        begin = end
    return results


def result_of(params: EmbedParams, found: "Embeddings", begin: int, end: int) -> EmbedResult:
    """The result of the job whose texts are those from `begin` to `end`."""
    vectors = found.vectors[begin:end].astype(float).round(DIGITS)
    return EmbedResult(
        model=MODEL,
        vectors=(
            [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in vectors]
            if params.encoding == "base64"
            else vectors.tolist()
        ),
        tokens=sum(found.tokens[begin:end]),
        truncated=[place for place, cut in enumerate(found.truncated[begin:end]) if cut],
    )
