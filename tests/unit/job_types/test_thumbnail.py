"""Thumbnails: the content of their source; clear errors for broken pictures and for traps."""

import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dev.stack import ROOT
from job_types.thumbnail import scaling as computing
from job_types.thumbnail.handler import thumbnail
from shared.errors import FinalError
from tests.unit.job_types.inline_harness import InlineHarness

CASES = Path(__file__).parents[2] / "cases"
RED, BLUE = (255, 0, 0), (0, 0, 255)
ORIENTATION = 0x0112
TOP_LEFT_RED = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}
"""Where the stored picture's top left corner is to be seen, by the orientation: 1 is right, and bottom."""


def two_coloured(mode: str = "RGB") -> Image.Image:
    """400 × 200 pixels, blue but for the top left quarter."""
    picture = Image.new("RGB", (400, 200), BLUE)
    picture.paste(RED, (0, 0, 200, 100))
    return picture.convert(mode)


def encoded(picture: Image.Image, form: str, **options: Any) -> bytes:
    data = BytesIO()
    picture.save(data, form, **options)
    return data.getvalue()


class Thumbnails(InlineHarness):
    async def make(self, source: bytes, **params: Any) -> tuple[dict[str, Any], Image.Image]:
        """The job's result, and its artifact decoded."""
        result = await self.run(thumbnail, file=await self.upload(source), **params)
        form = params.get("format", "png")
        data = self.artifact(f"thumbnail.{form}")
        picture = Image.open(BytesIO(data))
        picture.load()
        assert picture.format == form.upper()
        assert (result["width"], result["height"], result["size"]) == (*picture.size, len(data))
        return result, picture


@pytest.fixture
def bench(tmp_path: Path) -> Thumbnails:
    return Thumbnails(tmp_path)


def near(found: Any, wanted: tuple[int, ...]) -> bool:
    return all(abs(a - b) <= 6 for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("target", ["png", "webp", "avif"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
async def test_each_format_becomes_each_format(bench: Thumbnails, form: str, target: str):
    result, picture = await bench.make(encoded(two_coloured(), form), format=target, width=100, height=100)
    assert result == {
        "width": 100,
        "height": 50,
        "format": target,
        "source": {"width": 400, "height": 200, "format": form.lower()},
        "size": result["size"],
    }
    assert near(picture.convert("RGB").getpixel((10, 10)), RED)
    assert near(picture.convert("RGB").getpixel((90, 40)), BLUE)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("orientation", TOP_LEFT_RED)
async def test_a_picture_is_turned_the_way_it_was_taken(bench: Thumbnails, orientation: int, form: str):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    result, picture = await bench.make(encoded(two_coloured(), form, exif=exif), width=100, height=80)
    sideways = orientation >= 5
    assert picture.size == ((40, 80) if sideways else (100, 50))
    assert (result["source"]["width"], result["source"]["height"]) == ((200, 400) if sideways else (400, 200))
    red = [
        (right, down)
        for right in (0, 1)
        for down in (0, 1)
        if near(picture.getpixel((10 + right * (picture.width - 20), 10 + down * (picture.height - 20))), RED)
    ]
    assert red == [TOP_LEFT_RED[orientation]]
    assert not picture.getexif()


@pytest.mark.parametrize(
    ("size", "box", "expected"),
    [
        ((400, 200), (100, 100), (100, 50)),
        ((200, 400), (100, 100), (50, 100)),
        ((400, 200), (1000, 20), (40, 20)),
        ((40, 20), (256, 256), (40, 20)),
        ((3, 3000), (100, 100), (1, 100)),
    ],
)
async def test_it_fits_into_the_box_and_never_grows(
    bench: Thumbnails, size: tuple[int, int], box: tuple[int, int], expected: tuple[int, int]
):
    for form in ("PNG", "JPEG"):
        _, picture = await bench.make(encoded(Image.new("RGB", size), form), width=box[0], height=box[1])
        assert picture.size == expected


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
async def test_transparency_is_kept(bench: Thumbnails, mode: str):
    source = two_coloured("RGBA")
    source.putalpha(100)
    for target in ("png", "webp", "avif"):
        _, picture = await bench.make(encoded(source.convert(mode), "PNG"), format=target)
        assert near(picture.getchannel("A").getextrema(), (100, 100))


async def test_the_transparent_colour_of_a_palette_is_kept(bench: Thumbnails):
    source = two_coloured().quantize(4)
    clear = source.getpixel((0, 0))
    _, picture = await bench.make(encoded(source, "GIF", transparency=clear))
    assert picture.getpixel((5, 5))[3] == 0
    assert picture.getpixel((250, 120)) == (*BLUE, 255)


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
async def test_cmyk_becomes_red_green_and_blue(bench: Thumbnails, form: str):
    _, picture = await bench.make(encoded(two_coloured("CMYK"), form))
    assert picture.mode == "RGB"
    assert near(picture.getpixel((5, 5)), RED)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
async def test_16_bits_of_grey_become_8(bench: Thumbnails, form: str):
    _, picture = await bench.make(encoded(Image.fromarray(np.full((30, 30), 40_000, np.uint16)), form))
    assert (picture.mode, picture.getextrema()) == ("L", (155, 155))


@pytest.mark.parametrize("kind", [np.int32, np.float32])
async def test_numbers_of_any_range_go_from_black_to_white(bench: Thumbnails, kind: Any):
    ramp = np.linspace(-7000, 7000, 900).reshape(30, 30).astype(kind)
    _, picture = await bench.make(encoded(Image.fromarray(ramp), "TIFF"))
    assert picture.getextrema() == (0, 255)


async def test_black_and_white_is_averaged(bench: Thumbnails):
    checkers = Image.fromarray(np.indices((512, 512)).sum(axis=0) % 2 == 1)
    _, picture = await bench.make(encoded(checkers, "PNG"), width=64)
    assert picture.mode == "L"
    assert 100 < picture.getextrema()[0] <= picture.getextrema()[1] < 155


@pytest.mark.parametrize(
    ("form", "name"), [("GIF", "gif"), ("WEBP", "webp"), ("TIFF", "tiff"), ("MPO", "jpeg")]
)
async def test_of_several_frames_the_first_is_shown(bench: Thumbnails, form: str, name: str):
    more = [Image.new("RGB", (400, 200), BLUE)] * 2
    result, picture = await bench.make(encoded(two_coloured(), form, save_all=True, append_images=more))
    assert result["source"]["format"] == name
    assert near(picture.getpixel((5, 5)), RED)


@pytest.mark.parametrize("form", ["webp", "avif"])
async def test_quality_decides_how_large_a_picture_is(bench: Thumbnails, form: str):
    source = encoded(Image.effect_noise((256, 256), 60), "PNG")
    sizes = [(await bench.make(source, format=form, quality=quality))[0]["size"] for quality in (10, 95)]
    assert 2 * sizes[0] < sizes[1]


# -- metadata


@pytest.mark.parametrize("name", ["exif_garbage.jpg", "exif_cut.jpg", "exif_dup.jpg"])
async def test_a_picture_with_broken_exif_is_whole_and_left_unturned(bench: Thumbnails, name: str):
    result, picture = await bench.make((CASES / name).read_bytes())
    assert picture.size == (32, 16)
    assert (result["source"]["width"], result["source"]["height"]) == (32, 16)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"\xff" * 12, b"Exif\0\0II*\0\xff\xff\xff\xff", b"MM\0*"])
@pytest.mark.parametrize("form", ["PNG", "WEBP"])
async def test_no_broken_exif_of_any_format_refuses_a_picture(bench: Thumbnails, exif: bytes, form: str):
    _, picture = await bench.make(encoded(two_coloured(), form, exif=exif), width=100)
    assert picture.size == (100, 50)


@pytest.mark.parametrize("target", ["png", "webp", "avif"])
async def test_a_profile_is_applied_and_dropped(bench: Thumbnails, target: str):
    source = (CASES / "icc_SwappedRedAndGreen.png").read_bytes()
    _, picture = await bench.make(source, format=target, quality=95)
    assert near(picture.convert("RGB").getpixel((30, 30)), (1, 200, 0))
    assert "icc_profile" not in picture.info


def swapped(mode: str, form: str, **options: Any) -> bytes:
    """A red picture whose profile makes it green."""
    with Image.open(CASES / "icc_SwappedRedAndGreen.png") as case:
        profile = case.info["icc_profile"]
    picture = Image.new("RGB", (60, 40), (200, 0, 0)).convert(mode)
    return encoded(picture, form, icc_profile=profile, **options)


@pytest.mark.parametrize(
    ("mode", "form"), [("RGB", "JPEG"), ("RGB", "WEBP"), ("RGB", "AVIF"), ("RGB", "TIFF"), ("P", "PNG")]
)
async def test_the_profile_of_every_format_is_applied(bench: Thumbnails, mode: str, form: str):
    _, picture = await bench.make(swapped(mode, form, quality=95))
    assert near(picture.getpixel((30, 20)), (1, 200, 0))
    assert "icc_profile" not in picture.info


async def test_a_profile_leaves_transparency_as_it_is(bench: Thumbnails):
    _, picture = await bench.make(swapped("RGBA", "PNG"))
    assert near(picture.getpixel((30, 20)), (1, 200, 0, 255))


async def test_a_grey_profile_keeps_transparency_and_goes(bench: Thumbnails):
    _, picture = await bench.make((CASES / "gray_alpha_icc.png").read_bytes())
    assert picture.mode == "RGBA"
    assert near(picture.getpixel((5, 5)), (168, 168, 168, 100))  # 100, by the profile's curve
    assert "icc_profile" not in picture.info


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("profile", ["broken", "of grey"])
async def test_a_profile_that_does_not_fit_is_dropped(bench: Thumbnails, mode: str, profile: str):
    with Image.open(CASES / "gray_alpha_icc.png") as case:
        data = case.info["icc_profile"] if profile == "of grey" else b"no profile"
    source = encoded(Image.new(mode, (40, 40)), "TIFF", icc_profile=data)
    _, picture = await bench.make(source)
    assert picture.mode == {"CMYK": "RGB"}.get(mode, mode)
    assert "icc_profile" not in picture.info


async def test_of_its_metadata_a_picture_keeps_nothing(bench: Thumbnails):
    notes = PngInfo()
    notes.add_text("Comment", "private")
    exif = Image.Exif()
    exif[0x010E] = "private"
    source = encoded(two_coloured(), "PNG", pnginfo=notes, exif=exif, dpi=(300, 300))
    for target in ("png", "webp", "avif"):
        await bench.make(source, format=target)
        data = bench.artifact(f"thumbnail.{target}")
        assert not any(word in data for word in (b"private", b"pHYs", b"eXIf", b"EXIF", b"tEXt"))


# -- files that are no picture


WHOLE = encoded(Image.effect_noise((200, 200), 60), "PNG")
NO_PICTURES = {
    "nothing": b"",
    "text": b"hello",
    "a PNG cut off": WHOLE[: len(WHOLE) // 2],
    "a JPEG cut off": encoded(two_coloured(), "JPEG")[:700],
    "a PNG with a hole": WHOLE[:60] + bytes(9) + WHOLE[69:],
    "a format that is not allowed": encoded(two_coloured(), "PPM"),
    "a program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
}


@pytest.mark.parametrize("data", NO_PICTURES.values(), ids=NO_PICTURES)
async def test_what_is_no_whole_picture_is_refused_for_good(bench: Thumbnails, data: bytes):
    with pytest.raises(FinalError) as caught:
        await bench.make(data)
    assert (caught.value.code, caught.value.retryable) == ("unreadable_picture", False)
    assert "JPEG" in caught.value.hint
    assert "/" not in caught.value.message  # no path
    with pytest.raises(FileNotFoundError):
        bench.artifact("thumbnail.png")


def bomb(width: int, height: int) -> bytes:
    """The beginning of a PNG that says how large it is."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + head + struct.pack(">I", zlib.crc32(head)) + b"\0\0\0\0IDAT"


@pytest.mark.parametrize(("width", "height"), [(10_001, 10_000), (20_000, 20_000), (1, 100_000_001)])
async def test_a_picture_with_too_many_pixels_is_not_decoded(bench: Thumbnails, width: int, height: int):
    with pytest.raises(FinalError) as caught:
        await bench.make(bomb(width, height))
    assert (caught.value.code, caught.value.retryable) == ("picture_too_large", False)
    assert "100,000,000" in caught.value.message


@pytest.mark.parametrize("form", ["WEBP", "AVIF"])
async def test_a_format_whose_decoder_takes_more_has_a_lower_limit(
    bench: Thumbnails, form: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(computing.MAX_PIXELS_OF, form, 400 * 200 - 1)
    with pytest.raises(FinalError, match="80,000 pixels; 79,999 are allowed in this format") as caught:
        await bench.make(encoded(two_coloured(), form))
    assert caught.value.code == "picture_too_large"
    await bench.make(encoded(two_coloured(), "PNG"))


def test_a_large_picture_is_held_once(tmp_path: Path):
    """Memory of the decoded picture, which has 4 bytes for a pixel, and a little more."""
    size = 5000
    path = tmp_path / "large.png"
    Image.new("RGBA", (size, size), (9, 9, 9, 9)).save(path, compress_level=1)
    script = f"""
import re
from pathlib import Path
from job_types.thumbnail.contract import ThumbnailParams
from job_types.thumbnail.scaling import make_thumbnail
def highest():
    return int(re.search("VmHWM: *([0-9]+)", Path("/proc/self/status").read_text().replace("\\t", ""))[1])
before = highest()
make_thumbnail(Path({str(path)!r}), ThumbnailParams(file="file_" + "0" * 32))
print(highest() - before)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) * 1024 < 1.5 * 4 * size**2


async def test_a_lack_of_memory_is_not_the_pictures_fault(bench: Thumbnails, monkeypatch: pytest.MonkeyPatch):
    def exhaust(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr("job_types.thumbnail.scaling.conversion", exhaust)
    with pytest.raises(MemoryError):
        await bench.make(WHOLE)
