"""The job type `mandelbrot`: a picture of a region, drawn in bands on all processors."""

from typing import Annotated

from pydantic import BaseModel, Field

from shared.job_type import JobType, Params

Coordinate = Annotated[float, Field(ge=-4, le=4)]


class MandelbrotParams(Params):
    size: Annotated[int, Field(ge=16, le=4096, description="Width and height of the picture in pixels.")]
    center_x: Annotated[Coordinate, Field(description="Real part of the region's centre.")] = -0.5
    center_y: Annotated[Coordinate, Field(description="Imaginary part of the region's centre.")] = 0.0
    width: Annotated[float, Field(gt=0, le=8, description="Width, and height, of the region.")] = 3.0
    max_iterations: Annotated[
        int,
        Field(ge=1, le=10_000, description="Steps after which a point counts as inside the set."),
    ] = 256


class MandelbrotResult(BaseModel):
    """Figures of the picture; the same params always give the same.

    A pixel is the point at its centre. From z = 0 it goes by z² + c, in doubles, until |z| > 2.
    """

    size: int
    inside: Annotated[int, Field(description="Pixels that are still within 2 after `max_iterations` steps.")]
    mean_iterations: Annotated[
        float | None,
        Field(
            description="Mean number of steps that the other pixels took to leave; null if there are none."
        ),
    ]


MANDELBROT = JobType(
    name="mandelbrot",
    summary="Draw a region of the Mandelbrot set; the artifact `mandelbrot.png` is the picture.",
    params=MandelbrotParams,
    result=MandelbrotResult,
    example={"size": 512},
    timeout=1800,
)
