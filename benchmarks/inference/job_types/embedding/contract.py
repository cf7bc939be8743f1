"""Two job types of the model of `embed`, which itself has batches; each has a queue of its own."""

from job_types.embed.contract import EMBED, EmbedParams, EmbedResult
from shared.job_type import JobType


def embedding_type(name: str) -> JobType[EmbedParams, EmbedResult]:
    return JobType(
        name=name,
        summary=EMBED.summary,
        params=EmbedParams,
        result=EmbedResult,
        example=EMBED.example,
        queue=name,
    )


SINGLE = embedding_type("embedding_single")
IN_PROCESS = embedding_type("embedding_in_process")
