"""Text of a CSV file: other formats are refused by name, other encodings and mixed line ends rewritten."""

import codecs
import re
from pathlib import Path
from typing import BinaryIO

from shared.errors import FinalError

PIECE = 1 << 20
LINE_END = re.compile(rb"\r\n|\r|\n")
TAR_HEAD = slice(257, 262)
HEADS = (
    (b"\x1f\x8b", "a gzip file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\0", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Office file"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"%PDF-", "a PDF file"),
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
)
WORKBOOK = (b"xl/", b"[Content_Types].xml", b"_rels/.rels")
WIDE = ((codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"))
UTF_8 = "utf-8"


def unreadable(message: str, hint: str) -> FinalError:
    return FinalError(message, code="unreadable_csv", hint=hint)


def readable(path: Path, encoding: str, scratch: Path) -> Path:
    """The file in UTF-8: itself, or a copy in the folder. Raises FinalError if the file is no text."""
    with path.open("rb") as file:
        head = file.read(4096)
    if found := name_of(head):
        raise unreadable(f"The file is {found}, not CSV.", "Unpack it, or save it as CSV, and upload that.")
    if encoding != UTF_8:
        path = transcoded(path, encoding, scratch / "utf-8.csv")
    elif wide := wide_encoding(head):
        raise unreadable(
            f"The file is in {wide}, not UTF-8.",
            f'Save it as UTF-8 and upload that, or submit a job with "encoding": "{wide.lower()}".',
        )
    if line := line_of_nul(path):
        raise unreadable(
            f"Line {line} has a NUL byte, which is no text.",
            "Remove it; or save the file as UTF-8, or name its encoding, if it is in another one.",
        )
    return path


def name_of(head: bytes) -> str:
    """The name of another format, by the first bytes of the file; empty if the file may be CSV."""
    if head[TAR_HEAD] == b"ustar":
        return "a tar archive"
    name = next((name for start, name in HEADS if head.startswith(start)), "")
    if name == "a ZIP archive" and any(part in head for part in WORKBOOK):
        return "an Excel workbook"
    return name


def wide_encoding(head: bytes) -> str:
    """The encoding of text with two or four bytes a character, by its mark or its NUL bytes; else empty."""
    for mark, name in WIDE:
        if head.startswith(mark):
            return name
    for first, name in ((1, "UTF-16-LE"), (0, "UTF-16-BE")):
        zeros, others = head[first::2], head[1 - first :: 2]
        if zeros.count(0) * 10 > len(zeros) * 7 > 0 and others.count(0) * 10 < len(others):
            return name
    return ""


def line_of_nul(path: Path) -> int:
    """The line of the first NUL byte; 0 for a file without NUL bytes."""
    lines = 1
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            if (place := piece.find(b"\0")) >= 0:
                return lines + piece.count(b"\n", 0, place)
            lines += piece.count(b"\n")
    return 0


def has_empty_ends(path: Path, delimiter: str) -> bool:
    """Whether any line ends with the delimiter, so that its last field is empty."""
    ends = tuple(delimiter.encode() + end for end in (b"\n", b"\r"))
    last = b""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            if any(end in piece for end in ends) or last + piece[:1] in ends:
                return True
            last = piece[-1:]
    return last == delimiter.encode()


def transcoded(path: Path, encoding: str, copy: Path) -> Path:
    """A copy of the file in UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 1
    with path.open("rb") as source, copy.open("wb") as target:
        piece = None
        while piece != b"":
            piece = source.read(PIECE)
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeDecodeError:
                raise unreadable(
                    f"Line {lines} or a later one is not {encoding}.",
                    "Name the encoding that the file is in.",
                ) from None
            lines += text.count("\n")
            target.write(text.encode())
    return copy


def has_mixed_line_ends(path: Path) -> bool:
    """Whether the file has several kinds of line ends, those within quotes included."""
    both = returns = feeds = 0
    last = b""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            both += piece.count(b"\r\n") + (last + piece[:1] == b"\r\n")
            returns, feeds = returns + piece.count(b"\r"), feeds + piece.count(b"\n")
            last = piece[-1:]
    return returns > 0 < feeds and not both == returns == feeds


def with_even_line_ends(path: Path, copy: Path) -> Path:
    r"""A copy of the file in which all lines end with \n; line ends inside of quotes stay."""
    with path.open("rb") as source, copy.open("wb") as target:
        quoted, rest = False, b""
        while piece := source.read(PIECE):
            piece = rest + piece
            rest = b"\r" if piece.endswith(b"\r") else b""  # maybe the first half of \r\n
            quoted = _write_even(target, piece[: len(piece) - len(rest)], quoted=quoted)
        _write_even(target, rest, quoted=quoted)
    return copy


def _write_even(target: BinaryIO, piece: bytes, *, quoted: bool) -> bool:
    """Write a piece of the file; returns whether a field in quotes is open at its end."""
    for number, part in enumerate(piece.split(b'"')):
        if number:
            target.write(b'"')
            quoted = not quoted
        target.write(part if quoted else LINE_END.sub(b"\n", part))
    return quoted
