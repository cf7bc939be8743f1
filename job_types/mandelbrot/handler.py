"""Handler of the job type `mandelbrot`."""

import asyncio
import os
from typing import TYPE_CHECKING

from job_types.mandelbrot.contract import MANDELBROT, MandelbrotParams, MandelbrotResult
from worker.context import JobContext
from worker.registry import handles

if TYPE_CHECKING:
    from job_types.mandelbrot.picture import Band

FEWEST_BANDS = 64  # progress is smooth then; a picture of fewer rows has a band for each
BAND_PIXELS = 1 << 15  # at most: numpy's arrays for them stay in a processor's cache
AT_ONCE = os.cpu_count() or 1  # no more, so that other jobs get the next free process


@handles(MANDELBROT)
async def mandelbrot(params: MandelbrotParams, job: JobContext) -> MandelbrotResult:
    """Draw the picture in bands, as many at once as there are processors, and put them together."""
    bands = await draw_bands(params, job)
    png = await job.in_process(encode, params.size, b"".join(band.pixels for band in bands))
    await job.save_artifact("mandelbrot.png", png, "image/png")
    inside = sum(band.inside for band in bands)
    outside = params.size**2 - inside
    steps = sum(band.steps for band in bands)
    return MandelbrotResult(
        size=params.size, inside=inside, mean_iterations=steps / outside if outside else None
    )


async def draw_bands(params: MandelbrotParams, job: JobContext) -> "list[Band]":
    height = min(-(-params.size // FEWEST_BANDS), BAND_PIXELS // params.size)
    firsts = range(0, params.size, height)
    free = asyncio.Semaphore(AT_ONCE)
    done = 0

    async def draw_next(first: int) -> "Band":
        nonlocal done
        async with free:
            band = await job.in_process(draw, params, first, min(height, params.size - first))
        done += 1
        job.progress(done / len(firsts), f"band {done} of {len(firsts)}")
        return band

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(draw_next(first)) for first in firsts]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


def draw(params: MandelbrotParams, first: int, rows: int) -> "Band":
    from job_types.mandelbrot.picture import draw_rows

    return draw_rows(params, first, rows)


def encode(size: int, pixels: bytes) -> bytes:
    from job_types.mandelbrot.picture import encode_png

    return encode_png(size, pixels)
