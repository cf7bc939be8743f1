"""Each pixel's count is that of the plain loop, and the picture shows the counts."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from PIL import Image

from job_types.mandelbrot import handler as module
from job_types.mandelbrot.contract import MandelbrotParams
from job_types.mandelbrot.handler import mandelbrot
from job_types.mandelbrot.picture import INSIDE, colours, draw_rows, escape_counts, palette
from shared.errors import RetryableError
from tests.unit.job_types.inline_harness import InlineHarness

WHOLE = {"size": 64}
REGIONS = [
    WHOLE,
    {"size": 41, "max_iterations": 1},
    {"size": 33, "center_x": -0.7436, "center_y": 0.1318, "width": 0.01, "max_iterations": 500},
    {"size": 17, "center_x": 0.25, "center_y": 0.0, "width": 1e-3, "max_iterations": 1500},
    {"size": 16, "center_x": -2.0, "center_y": 0.0, "width": 8.0, "max_iterations": 90},
    {"size": 16, "center_x": -0.2, "center_y": 0.0, "width": 0.1, "max_iterations": 2000},
    {"size": 16, "center_x": -1.7548776662466927, "center_y": 0.0, "width": 1e-17, "max_iterations": 150},
]


def plain_counts(params: MandelbrotParams) -> list[list[int]]:
    offsets = [((place + 0.5) / params.size - 0.5) * params.width for place in range(params.size)]
    return [
        [
            plain_count(params.center_x + right, params.center_y - down, params.max_iterations)
            for right in offsets
        ]
        for down in offsets
    ]


def plain_count(cx: float, cy: float, most: int) -> int:
    x = y = 0.0
    for step in range(1, most + 1):
        x, y = x * x - y * y + cx, 2 * x * y + cy
        if x * x + y * y > 4:
            return step
    return INSIDE


@pytest.fixture
def bench(tmp_path: Path) -> InlineHarness:
    return InlineHarness(tmp_path)


@pytest.mark.parametrize("region", REGIONS)
def test_every_count_is_that_of_the_plain_loop(region: dict[str, Any]):
    params = MandelbrotParams(**region)
    assert escape_counts(params, 0, params.size).tolist() == plain_counts(params)


def test_a_band_is_its_rows_of_the_whole():
    params = MandelbrotParams(**WHOLE)
    whole = escape_counts(params, 0, 64)
    band = draw_rows(params, 20, 5)
    assert np.array_equal(escape_counts(params, 20, 5), whole[20:25])
    assert band.pixels == colours(256)[whole[20:25]].tobytes()
    assert (band.inside, band.steps) == ((whole[20:25] == INSIDE).sum(), whole[20:25].sum())


@pytest.mark.parametrize("region", [WHOLE, REGIONS[2]])
async def test_the_picture_and_its_figures_are_those_of_the_plain_loop(
    bench: InlineHarness, region: dict[str, Any]
):
    params = MandelbrotParams(**region)
    counts = plain_counts(params)
    flat = [count for row in counts for count in row]
    outside = [count for count in flat if count != INSIDE]
    assert await bench.run(mandelbrot, **region) == {
        "size": params.size,
        "inside": flat.count(INSIDE),
        "mean_iterations": sum(outside) / len(outside),
    }
    with Image.open(BytesIO(bench.artifact("mandelbrot.png"))) as picture:
        assert (picture.format, picture.size) == ("PNG", (params.size, params.size))
        places, table = colours(params.max_iterations).tolist(), palette()
        shown = [tuple(table[3 * places[count] : 3 * places[count] + 3]) for count in flat]
        assert [tuple(pixel) for pixel in np.asarray(picture.convert("RGB")).reshape(-1, 3).tolist()] == shown


def test_only_the_set_is_black():
    table = palette()
    triples = [table[place : place + 3] for place in range(0, len(table), 3)]
    assert len(triples) == 256
    assert [place for place, triple in enumerate(triples) if triple == bytes(3)] == [0]
    assert [count for count, place in enumerate(colours(10_000)) if place == 0] == [INSIDE]


async def test_a_region_inside_has_no_mean(bench: InlineHarness):
    result = await bench.run(mandelbrot, size=16, center_x=0.0, width=0.1)
    assert result == {"size": 16, "inside": 256, "mean_iterations": None}


async def test_each_band_is_reported(bench: InlineHarness):
    await bench.run(mandelbrot, size=130, max_iterations=3)
    assert bench.fractions == [done / 44 for done in range(1, 45)]  # bands of 3 rows, the last one of 1
    assert orjson.loads(bench.latest) == {"fraction": 1, "message": "band 44 of 44"}


@pytest.mark.parametrize(("size", "bands"), [(16, 16), (512, 64), (2048, 128)])
async def test_bands_are_many_and_small_and_few_at_once(
    bench: InlineHarness, monkeypatch: pytest.MonkeyPatch, size: int, bands: int
):
    monkeypatch.setattr(module, "AT_ONCE", 3)
    await bench.run(mandelbrot, size=size, center_x=3, max_iterations=1, width=0.1)
    assert bench.pool.calls == ["draw"] * bands + ["encode"]
    assert bench.pool.most_at_once == 3


async def test_a_band_that_fails_fails_the_job_by_its_own_error(
    bench: InlineHarness, monkeypatch: pytest.MonkeyPatch
):
    async def crash(*arguments: object, on_message: object, traces: object) -> None:
        raise RetryableError("The process died.", code="process_crashed")

    monkeypatch.setattr(bench.pool, "run", crash)
    with pytest.raises(RetryableError, match=r"The process died\."):
        await bench.run(mandelbrot, size=64)
