"""A handler's result on its way to the record: what JSON lacks is refused, all else arrives as it is."""

import dataclasses
import math
from collections import deque
from typing import Any

import numpy
import pytest
from pydantic import BaseModel, JsonValue
from typing_extensions import TypedDict

from shared.job_type import JobType, Params
from worker.handler import Handler

NAN = math.nan


class Scores(BaseModel):
    scores: list[float]
    note: str | None = None


@dataclasses.dataclass
class Point:
    x: float
    label: None = None


class Typed(TypedDict):
    a: float


def encode(kind: Any, result: Any) -> bytes:
    job_type = JobType(name="work", summary="", params=Params, result=kind, example={})
    return Handler(job_type, lambda params, job: None).encode(result)


@pytest.mark.parametrize(
    ("kind", "result", "place"),
    [
        (float, NAN, "result is nan"),
        (Scores, Scores(scores=[1, 2, NAN]), "result.scores.2 is nan"),
        (list[Scores], [Scores(scores=[]), Scores(scores=[-math.inf])], "result.1.scores.0 is -inf"),
        (Point, Point(math.inf), "result.x is inf"),
        (Typed, {"a": NAN}, "result.a is nan"),
        (dict[str, Any], {"a": [1, {"b": NAN}]}, "result.a.1.b is nan"),
        (JsonValue, {"a": NAN}, "result.a is nan"),
        (Any, [numpy.float64("nan")], "result.0 is nan"),
        (Any, (1, {NAN}), "result.1.0 is nan"),
        (Any, deque([NAN]), "result.0 is nan"),
    ],
)
def test_a_number_that_json_lacks_is_refused_with_its_place(kind: Any, result: Any, place: str):
    with pytest.raises(ValueError, match=f"^{place}, which JSON lacks"):
        encode(kind, result)


@pytest.mark.parametrize(
    ("kind", "result", "body"),
    [
        (Scores, Scores(scores=[-0.0]), b'{"scores":[-0.0],"note":null}'),
        (Any, {"a": None, "nan": "NaN", (1, 2): {3.5}}, b'{"a":null,"nan":"NaN","1,2":[3.5]}'),
        (Any, [None, -0.0, 1e308], b"[null,-0.0,1e+308]"),
        (float, -0.0, b"-0.0"),
    ],
)
def test_all_else_arrives_as_it_is(kind: Any, result: Any, body: bytes):
    assert encode(kind, result) == body
