"""The model of `embed`: in model hosts without batches, and in the worker's child processes."""

from functools import cache
from typing import TYPE_CHECKING

from benchmarks.inference.job_types.embedding.contract import IN_PROCESS, SINGLE
from job_types.embed.contract import EmbedParams, EmbedResult
from job_types.embed.handler import embed, load
from worker.context import JobContext
from worker.models.batch import Batch, Device
from worker.registry import handles

if TYPE_CHECKING:
    from job_types.embed.model import Model


@handles(SINGLE, batch=Batch(setup=load, size=1))
def embed_one(model: "Model", params: list[EmbedParams]) -> list[EmbedResult]:
    results: list[EmbedResult] = embed(model, params)
    return results


@handles(IN_PROCESS)
async def embed_in_process(params: EmbedParams, job: JobContext) -> EmbedResult:
    return await job.in_process(embed_here, params)


def embed_here(params: EmbedParams) -> EmbedResult:
    result: EmbedResult = embed(model_of_process(), [params])[0]
    return result


@cache
def model_of_process() -> "Model":
    """The model of this child process, with one thread: there is a process for each CPU."""
    return load(Device("cpu", threads=1))
