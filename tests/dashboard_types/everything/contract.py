"""The job type `everything`: params of every kind that a form must offer."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from shared.job_type import JobType, Params


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class Point(BaseModel):
    model_config = ConfigDict(extra="forbid")

    x: Annotated[float, Field(ge=-10, le=10)]
    y: float = 0


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: Annotated[float, Field(gt=0)]


class Square(BaseModel):
    kind: Literal["square"]
    side: Annotated[float, Field(gt=0)]


class EverythingParams(Params):
    name: Annotated[str, Field(min_length=1, max_length=40, description="A short text with `code`.")]
    note: str | None = None
    count: Annotated[int, Field(ge=1, le=10)] = 3
    ratio: Annotated[float | None, Field(ge=0, le=1)] = None
    exact: bool = False
    maybe: bool | None = None
    colour: Colour = Colour.RED
    level: Literal[1, 2, 3] = 1
    origin: Point
    points: Annotated[tuple[Point, ...], Field(max_length=5)] = ()
    weights: Annotated[dict[str, Annotated[float, Field(ge=0)]], Field(default_factory=dict)]
    shape: Circle | Square
    either: int | list[str] | None = None
    at: datetime | None = None
    anything: JsonValue = None


EVERYTHING = JobType(
    name="everything",
    summary="Return params of every kind.",
    params=EverythingParams,
    result=dict[str, Any],
    example={"name": "first", "origin": {"x": 1}, "shape": {"kind": "circle", "radius": 2}},
)
