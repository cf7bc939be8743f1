"""Thumbnails of pictures that come from anybody: broken ones, and such as are made to exhaust a decoder."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from PIL import Image, ImageOps, UnidentifiedImageError

from shared.contracts.thumbnail import ThumbnailParams
from shared.errors import FinalError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
NAMES = {"MPO": "jpeg"}  # a JPEG that has a preview or a second view in it
MOST_PIXELS = 100_000_000
ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)  # the orientations that swap width and height
DRAFT = 2  # a JPEG may be decoded at a fraction of its size, but at this multiple of the thumbnail's

Size = tuple[int, int]

Image.MAX_IMAGE_PIXELS = MOST_PIXELS


class Thumbnail(NamedTuple):
    data: bytes
    size: Size
    source_size: Size
    source_format: str


def make_thumbnail(path: Path, params: ThumbnailParams) -> Thumbnail:
    """Raises FinalError: `unreadable_picture` or `picture_too_large`."""
    with path.open("rb") as file, untrusted():
        return _make(file, params)


@contextmanager
def untrusted() -> Iterator[None]:
    """Whatever a decoder raises is the picture's fault, but not a lack of memory."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise FinalError(
            f"The picture has more than {MOST_PIXELS:,} pixels.",
            code="picture_too_large",
            hint="Upload a smaller version of it, and submit a job for that.",
        ) from None
    except MemoryError:
        raise
    except Exception as error:
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        raise FinalError(
            f"The file is not a picture that can be read: {reason}",
            code="unreadable_picture",
            hint="Upload a whole JPEG, PNG, WebP, GIF, BMP or TIFF, and submit a job for that.",
        ) from None


def _make(file: BinaryIO, params: ThumbnailParams) -> Thumbnail:
    with Image.open(file, formats=FORMATS) as source:
        size, kind = source.size, source.format or ""
        if kind != "TIFF" and source.getexif().get(ORIENTATION) in SIDEWAYS:  # Pillow turns a TIFF by itself
            size = size[::-1]
        enough = DRAFT * max(params.width, params.height)
        source.draft(None, (enough, enough))
        picture = ImageOps.exif_transpose(displayable(source))
    picture.thumbnail((params.width, params.height), Image.Resampling.LANCZOS)
    data = BytesIO()
    picture.save(data, params.format, quality=params.quality)
    return Thumbnail(data.getvalue(), picture.size, size, NAMES.get(kind, kind.lower()))


def displayable(picture: Image.Image) -> Image.Image:
    """The first frame with 8 bits a channel: grey or colours, and transparency if there is any."""
    if picture.mode.startswith("I;16"):
        return picture.convert("I").point(lambda value: value / 257).convert("L")
    if picture.mode in ("I", "F"):  # of no known range: from the darkest that there is to the lightest
        low, high = cast("tuple[float, float]", picture.getextrema())
        scale = 255 / ((high - low) or 1)
        return picture.point(lambda value: value * scale - low * scale).convert("L")
    if picture.has_transparency_data:
        return picture.convert("RGBA")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")
