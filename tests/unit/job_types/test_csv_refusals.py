"""Files that are no CSV: refused by the line, or by the name of their format."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
from io import BytesIO

import pytest

from job_types.csv_profile.dialect import MAX_RECORD_BYTES, SAMPLE_BYTES
from shared.errors import FinalError
from tests.unit.job_types.csv_profiles import Profiles


def archive(*names: str) -> bytes:
    data = BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name in names:
            file.writestr(name, "a,b\n1,2\n")
    return data.getvalue()


def tape() -> bytes:
    data = BytesIO()
    with tarfile.open(fileobj=data, mode="w") as file:
        file.addfile(tarfile.TarInfo("data.csv"))
    return data.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The file is empty."),
        (b"\n\n", "The file is empty."),
        (b"\n\na,b\n1,2,3\n", "Line 4 has 3 fields instead of 2."),
        (b"a,b\n1,2\n1,2,3\n", "Line 3 has 3 fields instead of 2."),
        (b"a,b\n1,2\n\n1\n", "Line 4 has 1 fields instead of 2."),
        (b'a,b\n1,"2\n', "Line 2 has a quote that does not end, or text behind it."),
        (b'a,b\n1,2\n"x"y,3\n', "Line 3 has a quote that does not end, or text behind it."),
        (b"a,b\n1,\xff\n", "Line 2 is not UTF-8."),
        (
            b"a,b\n" + b"1,2\n" * (SAMPLE_BYTES // 4) + b"1,\xff\n",
            f"Line {SAMPLE_BYTES // 4 + 2} is not UTF-8.",
        ),
        (b"a,b\n1," + b"x" * MAX_RECORD_BYTES + b"\n", "Line 2 is longer than 1,048,576 bytes."),
        (b"a,b\n1,2\n3,4,\n5,6\n", "Line 3 has 3 fields instead of 2."),
        (b"a,b\n1,2,,\n3,4,,\n", "Line 2 has 4 fields instead of 2."),
        (b"\n\na,b\r\n1,2,\r\n", "Line 4 has 3 fields instead of 2."),
        (b"a,b\n1,2\n3,4,", "Line 3 has 3 fields instead of 2."),
        (b"a\n1\n2,\n", "Line 3 has 2 fields instead of 1."),
        (b'a,b\n"1,\n",2\n3,,""\n', "Line 3 has 3 fields instead of 2."),
        (b'a,b\n"1,\n",2\n3,4,\n', "Line 3 has 3 fields instead of 2."),
        (b"a,b\n" + b"1,\n" * 100_000 + b"1,,\n", "Line 100002 has 3 fields instead of 2."),
        (b"a,b\r\n1,2\n3,4,5\r\n", "Line 3 has 3 fields instead of 2."),
        (b"a,b\n\n1,\0\n", "Line 3 has a NUL byte, which is no text."),
        (b"a,b\n" + b"1,2\n" * (1 << 19) + b"\0,2\n", "Line 524290 has a NUL byte, which is no text."),
        ("a,b\n1,2\n".encode("utf-16"), "The file is in UTF-16, not UTF-8."),
        ("a,b\n1,2\n".encode("utf-16-le"), "The file is in UTF-16-LE, not UTF-8."),
        ("a,b\n1,2\n".encode("utf-16-be"), "The file is in UTF-16-BE, not UTF-8."),
        (gzip.compress(b"a,b\n1,2\n"), "The file is a gzip file, not CSV."),
        (bz2.compress(b"a,b\n1,2\n"), "The file is a bzip2 file, not CSV."),
        (lzma.compress(b"a,b\n1,2\n"), "The file is an xz file, not CSV."),
        (archive("data.csv"), "The file is a ZIP archive, not CSV."),
        (archive("[Content_Types].xml", "xl/workbook.xml"), "The file is an Excel workbook, not CSV."),
        (tape(), "The file is a tar archive, not CSV."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_file_that_is_no_csv_is_refused_by_its_line(profiles: Profiles, content: bytes, message: str):
    with pytest.raises(FinalError) as caught:
        await profiles.of(content)
    assert (caught.value.code, caught.value.message) == ("unreadable_csv", message)
    assert caught.value.hint
