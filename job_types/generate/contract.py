"""The job type `generate`: a text that goes on from a prompt, streamed word by word."""

from typing import Annotated

from pydantic import BaseModel, Field

from shared.job_type import JobType, Params


class GenerateParams(Params):
    prompt: Annotated[str, Field(max_length=2000, description="The text to go on from; may be empty.")] = ""
    max_tokens: Annotated[int, Field(ge=1, le=1000, description="Words and marks to generate at most.")] = 100
    temperature: Annotated[
        float, Field(ge=0, le=2, description="0 takes the likeliest word each time; more is more random.")
    ] = 0.8
    seed: Annotated[
        int | None, Field(ge=0, le=2**53, description="The same seed and prompt give the same text.")
    ] = None
    tokens_per_second: Annotated[
        float, Field(gt=0, le=1000, description="The pace, in place of the time that a large model takes.")
    ] = 50


class GenerateResult(BaseModel):
    text: Annotated[str, Field(description="The generated text, without the prompt.")]
    tokens: Annotated[int, Field(description="The number of its words and marks, as they were streamed.")]


GENERATE = JobType(
    name="generate",
    summary="Go on from a prompt, by a small language model; streams its output.",
    params=GenerateParams,
    result=GenerateResult,
    example={"prompt": "A worker claims", "max_tokens": 30, "seed": 7},
    timeout=1200,
)
