"""The job type `embed`: vectors of texts, whose products say how near the texts are in meaning."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from shared.job_type import JobType, Params

MAX_TEXTS = 64
MAX_CHARACTERS = 65_536
MAX_TOKENS = 256
MODEL = "all-MiniLM-L6-v2"
DIMENSIONS = 384

Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]
Encoding = Literal["float", "base64"]


class EmbedParams(Params):
    texts: Annotated[
        list[Text],
        Field(
            min_length=1,
            max_length=MAX_TEXTS,
            description=f"The texts; the first {MAX_TOKENS} tokens of each count, about 200 English words.",
        ),
    ]
    encoding: Annotated[
        Encoding,
        Field(description="`float`: lists of numbers; `base64`: 32-bit floats, little-endian, in base64."),
    ] = "float"


class EmbedResult(BaseModel):
    """The vectors are in the order of the texts, and each has the length 1."""

    model: str
    vectors: Annotated[
        list[list[float]] | list[str], Field(description=f"{DIMENSIONS} numbers each, to 8 decimal places.")
    ]
    tokens: Annotated[int, Field(description="Tokens of all texts that the model has read.")]
    truncated: Annotated[
        list[int], Field(description=f"Positions, from 0, of the texts with more than {MAX_TOKENS} tokens.")
    ]


EMBED = JobType(
    name="embed",
    summary="Turn texts into vectors, with a sentence embedding model.",
    params=EmbedParams,
    result=EmbedResult,
    example={"texts": ["A cat sits on the mat.", "A kitten lies on the rug."]},
    queue="embed",
    timeout=120,
)
