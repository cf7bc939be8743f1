"""Picture of the Mandelbrot set, from the number of steps in which each pixel's point escapes.

The steps are those of the plain loop, operation by operation in doubles, so that every count is the same:

    x, y = 0.0, 0.0
    for step in range(1, max_iterations + 1):
        x, y = x * x - y * y + cx, 2 * x * y + cy
        if x * x + y * y > 4:
            return step
    return INSIDE
"""

from io import BytesIO
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from job_types.mandelbrot.contract import MandelbrotParams

INSIDE = 0
CYCLE = 60  # steps; the orbits of nearly all points inside repeat after a divisor of 60
COLOURS = 255  # besides the colour of the set itself

STOPS = ((9, 17, 64), (34, 103, 182), (226, 240, 238), (250, 190, 62), (130, 38, 24))
"""The colours of the palette in order; from the last it goes back to the first."""


class Band(NamedTuple):
    """Some rows of the picture.

    Attributes:
        pixels: the place in the palette of each pixel, a byte each.
        inside: the number of pixels that never escape.
        steps: the sum of the steps of all other pixels.
    """

    pixels: bytes
    inside: int
    steps: int


def draw_rows(params: MandelbrotParams, first: int, rows: int) -> Band:
    counts = escape_counts(params, first, rows)
    inside = int(np.count_nonzero(counts == INSIDE))
    return Band(colours(params.max_iterations)[counts].tobytes(), inside, int(counts.sum(dtype=np.int64)))


def escape_counts(params: MandelbrotParams, first: int, rows: int) -> NDArray[np.uint16]:
    """The number of steps after which each pixel's point leaves the circle of radius 2, or INSIDE.

    The shape is (rows, size); row 0 is at the top.
    """
    offsets = ((np.arange(params.size) + 0.5) / params.size - 0.5) * params.width
    cx = np.tile(params.center_x + offsets, rows)
    cy = np.repeat(params.center_y - offsets[first : first + rows], params.size)
    counts = np.full(cx.size, INSIDE, np.uint16)
    pixels = np.arange(cx.size)
    x, y = cx, cy  # after the first step
    seen_x, seen_y = x, y
    for step in range(1, params.max_iterations + 1):
        xx, yy = x * x, y * y
        stays = xx + yy <= 4
        if not stays.all():
            counts[pixels[~stays]] = step
            pixels, cx, cy, x, y = pixels[stays], cx[stays], cy[stays], x[stays], y[stays]
            xx, yy, seen_x, seen_y = xx[stays], yy[stays], seen_x[stays], seen_y[stays]
        if step % CYCLE == 0:
            moves = (x != seen_x) | (y != seen_y)  # a point that is back at its place never escapes
            pixels, cx, cy, x, y = pixels[moves], cx[moves], cy[moves], x[moves], y[moves]
            xx, yy, seen_x, seen_y = xx[moves], yy[moves], x, y
        if not pixels.size:
            break
        x, y = xx - yy + cx, 2 * x * y + cy
    return counts.reshape(rows, params.size)


def colours(max_iterations: int) -> NDArray[np.uint8]:
    """The place in the palette for each count: finely graded for high counts, and cyclic."""
    shades = (16 * np.sqrt(np.arange(max_iterations + 1))).astype(np.int64)
    places = (1 + shades % COLOURS).astype(np.uint8)
    places[INSIDE] = 0
    return places


def palette() -> bytes:
    """Red, green and blue of each place: black for the set, then once through STOPS."""
    places = np.linspace(0, len(STOPS), COLOURS, endpoint=False)
    stops = np.array([*STOPS, STOPS[0]])
    channels = [np.interp(places, range(len(stops)), stops[:, channel]) for channel in range(3)]
    return bytes(3) + np.stack(channels, axis=1).round().astype(np.uint8).tobytes()


def encode_png(size: int, pixels: bytes) -> bytes:
    image = Image.frombytes("P", (size, size), pixels)
    image.putpalette(palette())
    png = BytesIO()
    image.save(png, "PNG")
    return png.getvalue()
