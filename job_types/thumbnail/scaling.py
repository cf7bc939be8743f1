"""Thumbnails of pictures from strangers, who may send broken ones, or ones made to exhaust a decoder."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from PIL import Image, ImageCms, UnidentifiedImageError

from job_types.thumbnail.contract import ThumbnailParams
from shared.errors import FinalError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
NAMES = {"MPO": "jpeg"}  # a JPEG with a preview or a second view in it
MAX_PIXELS = 100_000_000
MAX_PIXELS_OF = {"WEBP": 40_000_000, "AVIF": 60_000_000}  # their decoders take 16 and 9 bytes for a pixel
ORIENTATION = 0x0112
UPRIGHT = 1
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)  # the orientations that swap width and height
EXIF_HEADS = (b"II*\0", b"MM\0*")
GAP = 2  # a picture is decoded and averaged to no less than this multiple of the thumbnail's size
PIXELS_AT_ONCE = 1 << 20  # pixels of a decoded picture that are converted and averaged together
PROFILED = {
    "GRAY": "L",
    "RGB": "RGB",
    "CMYK": "CMYK",
}  # the mode of pictures, by the colour space of the profile
SRGB = ImageCms.createProfile("sRGB")

Size = tuple[int, int]

Image.MAX_IMAGE_PIXELS = MAX_PIXELS


class Thumbnail(NamedTuple):
    """Encoded thumbnail, and the size and format of its source."""

    data: bytes
    size: Size
    source_size: Size
    source_format: str


def make_thumbnail(path: Path, params: ThumbnailParams) -> Thumbnail:
    """Make a thumbnail. Raises FinalError: `unreadable_picture` or `picture_too_large`."""
    with path.open("rb") as file, untrusted():
        return _make(file, params)


@contextmanager
def untrusted() -> Iterator[None]:
    """Turn every error of a decoder into a FinalError about the picture, except a lack of memory."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise FinalError(
            f"The picture has more than {MAX_PIXELS:,} pixels.",
            code="picture_too_large",
            hint="Upload a smaller version of it, and submit a job for that.",
        ) from None
    except (FinalError, MemoryError):
        raise
    except Exception as error:
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        raise FinalError(
            f"The file is not a picture that can be read: {reason}",
            code="unreadable_picture",
            hint="Upload a whole JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF, and submit a job for that.",
        ) from None


def _make(file: BinaryIO, params: ThumbnailParams) -> Thumbnail:
    with Image.open(file, formats=FORMATS) as source:
        size, kind = source.size, source.format or ""
        check_size(size, kind)
        box = (params.width, params.height)
        source.draft(None, (GAP * max(box), GAP * max(box)))
        source.load()
        turned = UPRIGHT if kind == "TIFF" else orientation(source)  # Pillow turns a TIFF by itself
        if turned in SIDEWAYS:
            size, box = size[::-1], box[::-1]
        picture, part = reduced(source, target := fit(source.size, box))
        profile: bytes | None = source.info.get("icc_profile")
    picture = in_srgb(picture.resize(target, Image.Resampling.LANCZOS, box=part), profile)
    if turned in TURNS:
        picture = picture.transpose(TURNS[turned])
    picture.info.clear()  # the encoders would write the profile, comments and more
    data = BytesIO()
    picture.save(data, params.format, quality=params.quality)
    return Thumbnail(data.getvalue(), picture.size, size, NAMES.get(kind, kind.lower()))


def check_size(size: Size, kind: str) -> None:
    """Refuse a picture whose decoder would take more than about 700 MB."""
    most = MAX_PIXELS_OF.get(kind, MAX_PIXELS)
    if size[0] * size[1] > most:
        raise FinalError(
            f"The picture has {size[0] * size[1]:,} pixels; {most:,} are allowed in this format.",
            code="picture_too_large",
            hint="Upload a smaller version of it, or a JPEG or PNG, and submit a job for that.",
        )


def orientation(picture: Image.Image) -> int:
    """The EXIF orientation; UPRIGHT if the EXIF block is broken, because the picture itself may be whole."""
    exif: bytes = picture.info.get("exif", b"")
    if exif and not exif.removeprefix(b"Exif\0\0").startswith(EXIF_HEADS):
        return UPRIGHT
    try:
        found = picture.getexif().get(ORIENTATION)
    except MemoryError:
        raise
    except Exception:  # the parser raises errors of many kinds at broken bytes
        return UPRIGHT
    return found if found in TURNS else UPRIGHT


def fit(size: Size, box: Size) -> Size:
    """The largest size of these proportions that fits into the box, and is not larger than the picture."""
    width, height = size
    scale = min(box[0] / width, box[1] / height, 1)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def reduced(picture: Image.Image, size: Size) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """The picture averaged to a multiple of that size, with 8 bits a channel, and the box of its content.

    A decoded picture may have 400 MB. Its rows are converted and averaged in bands, so that there is never a
    second copy of the picture.
    """
    width, height = picture.size
    across, down = (max(int(full / wanted / GAP), 1) for full, wanted in zip(picture.size, size, strict=True))
    convert = conversion(picture)
    rows = max(PIXELS_AT_ONCE // width // down, 1) * down
    whole: Image.Image | None = None
    for top in range(0, height, rows):
        band = convert(picture.crop((0, top, width, min(top + rows, height)))).reduce((across, down))
        whole = whole or Image.new(band.mode, (band.width, ceil(height / down)))
        whole.paste(band, (0, top // down))
    assert whole is not None  # noqa: S101  # a picture has a row
    return whole, (0, 0, width / across, height / down)


def conversion(picture: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """The conversion of the picture, or of a part of it, to 8 bits a channel.

    The result is grey, CMYK or RGB, with the transparency of the picture.
    """
    if picture.mode.startswith("I;16"):
        return lambda part: part.convert("I").point(lambda value: value / 257).convert("L")
    if picture.mode in ("I", "F"):  # of no known range: from its darkest to its lightest pixel
        low, high = cast("tuple[float, float]", picture.getextrema())
        scale = 255 / ((high - low) or 1)
        return lambda part: part.point(lambda value: value * scale - low * scale).convert("L")
    if picture.has_transparency_data:
        mode = "LA" if picture.mode in ("L", "LA", "La") else "RGBA"
    else:
        mode = {"1": "L", "L": "L", "CMYK": "CMYK"}.get(picture.mode, "RGB")
    return lambda part: part.convert(mode)


def in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture in sRGB, converted by its profile unless that is broken or of another kind of picture."""
    if profile:
        with suppress(OSError, ImageCms.PyCMSError):
            picture = by_profile(picture, ImageCms.ImageCmsProfile(BytesIO(profile)))
    return picture.convert({"CMYK": "RGB", "LA": "RGBA"}.get(picture.mode, picture.mode))


def by_profile(picture: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    """The picture, converted to sRGB. Raises PyCMSError for a profile of another kind of picture."""
    mode = PROFILED.get(profile.profile.xcolor_space.strip())
    grey = picture.mode in ("L", "LA")
    if mode is None or (mode == "CMYK") != (picture.mode == "CMYK") or (mode == "L" and not grey):
        raise ImageCms.PyCMSError("the profile is not of this kind of picture")
    converted = ImageCms.profileToProfile(picture.convert(mode), profile, SRGB, outputMode="RGB")
    assert converted is not None  # noqa: S101  # None is the result of a conversion in place
    if grey:
        converted = converted.convert("L")
    if picture.mode in ("RGBA", "LA"):
        converted.putalpha(picture.getchannel("A"))
    return converted
