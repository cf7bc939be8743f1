"""The job type `word_count`: lines, words and frequent words of a text."""

from typing import Annotated

from pydantic import BaseModel, Field

from shared.job_type import JobType, Params


class WordCountParams(Params):
    text: Annotated[str, Field(description="Any text, up to the API's body limit.")]
    top: Annotated[int, Field(ge=1, le=100, description="How many of the most frequent words to name.")] = 10


class WordFrequency(BaseModel):
    word: str
    count: int


class WordCountResult(BaseModel):
    lines: Annotated[
        int, Field(description=r"Lines end with \n, \r\n or \r; text behind the last end is a line too.")
    ]
    words: Annotated[
        int, Field(description="Runs of characters between whitespace. A byte-order mark is no part of them.")
    ]
    unique: int
    top: list[WordFrequency]


WORD_COUNT = JobType(
    name="word_count",
    summary="Count lines, words and unique words, and name the most frequent ones.",
    params=WordCountParams,
    result=WordCountResult,
    example={"text": "the quick brown fox jumps over the lazy dog", "top": 3},
    timeout=60,
)
