"""Every figure of a CSV profile is that of another engine; what is no CSV is refused by its line."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import duckdb
import orjson
import pytest

from benchmarks.csv_file import write_csv
from benchmarks.csv_reference import profile_columns
from job_types.csv_profile import profile as computing
from job_types.csv_profile.column_kinds import KINDS
from job_types.csv_profile.contract import CsvProfileParams
from job_types.csv_profile.dialect import MOST_RECORD_BYTES, SAMPLE_BYTES, find_dialect
from job_types.csv_profile.handler import csv_profile
from job_types.csv_profile.small_files import profile_small
from shared.errors import FinalError
from tests.unit.job_types.inline_harness import InlineHarness
from worker.scratch import PREFIX

CASES = Path(__file__).parents[2] / "cases"


class Profiles(InlineHarness):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.path = folder / "file.csv"

    async def of(self, content: str | bytes, **params: Any) -> dict[str, Any]:
        self.path.write_bytes(content.encode() if isinstance(content, str) else content)
        return await self.again(**params)

    async def again(self, **params: Any) -> dict[str, Any]:
        """The profile of what lies at `path`."""
        result: dict[str, Any] = await self.run(csv_profile, file=await self.upload(self.path), **params)
        return result

    async def column(self, content: str, **params: Any) -> dict[str, Any]:
        """The first column of a file with a header."""
        column: dict[str, Any] = (await self.of(content, header=True, **params))["columns"][0]
        return column


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


@pytest.fixture(params=["together", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Small files are profiled by other statements than large ones; both ways must find the same."""
    if request.param == "one by one":
        monkeypatch.setattr(computing, "SMALL_BYTES", -1)
    return str(request.param)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profiles:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    return Profiles(tmp_path)


# -- against the other engine


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_figure_of_a_mixed_file_is_that_of_another_engine(bench: Profiles, seed: int):
    rows = write_csv(bench.path, 100_000, seed)
    quantiles = (0.0, 0.01, 0.5, 0.9, 1.0)
    result = await bench.again(top=7, quantiles=quantiles)
    assert (result["rows"], result["delimiter"], result["header"]) == (rows, ",", True)
    assert result["columns"] == list(profile_columns(bench.path, top=7, quantiles=quantiles))
    types = [column["type"] for column in result["columns"]]
    assert types == [
        *("integer", "text", "float", "float", "timestamp", "date", "boolean", "text", "integer", "timestamp")
    ]


VALUES = {
    "one integer": "5",
    "the extremes of 64 bits": "9223372036854775807 -9223372036854775808 0",
    "beyond 64 bits": "9223372036854775808 1",
    "leading zeros": "007 7",
    "a plus sign": "+5 5",
    "floats of one value": "1.5 1.50 15e-1 -.5 2.",
    "a float among integers": "1 2 2.5",
    "beyond a double": "1e400 1",
    "no number": "nan inf 1",
    "underscores": "1_000 1",
    "hexadecimal": "0x10 1",
    "booleans": "true FALSE True",
    "nearly booleans": "true yes",
    "bits": "1 0 1",
    "dates": "2024-02-29 0001-01-01 9999-12-31",
    "no dates": "2023-02-29 2023-01-01",
    "short dates": "2023-1-1",
    "moments": "2024-01-01T10:00 2024-01-01T10:00:00.5 2024-01-01T09:59:59.123456",
    "zoned moments": "2024-01-01T10:00:00Z 2024-01-01T12:00:00+02:00 2024-01-01T10:00:00.25-0530",
    "zoned and not": "2024-01-01T10:00:00Z 2024-01-01T10:00:00",
    "dates and moments": "2024-01-01 2024-01-01T10:00:00",
    "hour 24": "2024-01-01T24:00:00",
    "text by code point": "é z Z ａ 𝄞 猫",
    "long text": f"{'x' * 200} {'x' * 201} {'x' * 250}a {'x' * 250}b {'x' * 250}b é{'猫' * 300}",
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
@pytest.mark.usefixtures("way")
async def test_every_figure_of_a_column_is_that_of_another_engine(bench: Profiles, values: str):
    column = await bench.column("v\n" + "\n".join(values.split(" ")) + "\n")
    assert [column] == list(profile_columns(bench.path))


@pytest.mark.usefixtures("way")
async def test_figures_by_hand(bench: Profiles):
    column = await bench.column("n\n3\n1\n2\n2\n10\n1\n\n", quantiles=[0.5, 0.7], top=3)
    assert column == {
        "name": "n",
        "type": "integer",
        "count": 6,
        "nulls": 1,
        "distinct": 4,
        "min": 1,
        "max": 10,
        "mean": 19 / 6,
        "quantiles": [{"at": 0.5, "value": 2}, {"at": 0.7, "value": 3}],
        "top": [{"value": 1, "count": 2}, {"value": 2, "count": 2}, {"value": 3, "count": 1}],
    }


@pytest.mark.usefixtures("way")
async def test_a_mean_beyond_what_a_double_sums_up_is_null(bench: Profiles):
    column = await bench.column("v\n1e308\n1e308\n")
    assert (column["type"], column["mean"], column["max"]) == ("float", None, 1e308)


@pytest.mark.usefixtures("way")
async def test_a_type_is_that_of_all_values_not_of_the_first_ones(bench: Profiles):
    assert (await bench.column("v\n" + "1\n" * 3000 + "one\n"))["type"] == "text"
    assert (await bench.column("v\n" + "1\n" * 3000 + "1.5\n"))["type"] == "float"
    assert (await bench.column("v\n" + "\n" * 3000 + "1\n"))["type"] == "integer"


@pytest.mark.usefixtures("way")
async def test_a_column_of_nulls_is_text_without_figures(bench: Profiles):
    column = (await bench.of('a,b\n1,\n2,""\n'))["columns"][1]
    assert (column["type"], column["count"], column["nulls"], column["distinct"]) == ("text", 0, 2, 0)
    assert (column["min"], column["max"], column["mean"]) == (None, None, None)
    assert (column["quantiles"], column["top"]) == ([], [])


@pytest.mark.usefixtures("way")
async def test_as_many_quantiles_and_values_as_were_asked_for(bench: Profiles):
    column = await bench.column("v\n1\n2\n3\n", quantiles=[], top=2)
    assert column["quantiles"] == []
    assert [entry["value"] for entry in column["top"]] == [1, 2]


# -- how the file is written


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ":"])
@pytest.mark.parametrize("given", [True, False])
async def test_the_delimiter_is_found(bench: Profiles, delimiter: str, given: bool):
    content = "a,b,c\n1,x.y,2\n3,z,4\n".replace(",", delimiter)
    result = await bench.of(content, **({"delimiter": delimiter} if given else {}))
    assert result["delimiter"] == delimiter
    assert [column["name"] for column in result["columns"]] == ["a", "b", "c"]


async def test_what_separates_more_rows_is_the_delimiter(bench: Profiles):
    result = await bench.of('when;what\n10:30;"a,b,c"\n11:45;d\n')
    assert (result["delimiter"], len(result["columns"])) == (";", 2)


async def test_a_single_column_needs_no_delimiter(bench: Profiles):
    result = await bench.of("word\nto\nbe\n")
    assert [column["name"] for column in result["columns"]] == ["word"]
    assert result["rows"] == 2


@pytest.mark.parametrize(
    ("content", "header", "names"),
    [
        ("a,b\n1,2\n", True, ["a", "b"]),
        ("1,2\n3,4\n", False, ["column_1", "column_2"]),
        ("x,2024-01-01\ny,2024-01-02\n", False, ["column_1", "column_2"]),
        ("x,-1.5e3\n", False, ["column_1", "column_2"]),
        (",b\n1,2\n", True, ["column_1", "b"]),
        (",\n1,2\n", False, ["column_1", "column_2"]),
        ("a,a,a_2,\n1,2,3,4\n", True, ["a", "a_2", "a_2_2", "column_4"]),
        ('"a\nb","c,d"\n1,2\n', True, ["a\nb", "c,d"]),
        ("a,b", True, ["a", "b"]),
    ],
)
async def test_the_header_is_found(bench: Profiles, content: str, header: bool, names: list[str]):
    result = await bench.of(content)
    assert (result["header"], [column["name"] for column in result["columns"]]) == (header, names)


async def test_a_header_is_what_the_params_say(bench: Profiles):
    assert (await bench.of("a,b\nc,d\n", header=False))["rows"] == 2
    result = await bench.of("2023,2024\n1,2\n", header=True)
    assert (result["rows"], result["columns"][0]["name"]) == (1, "2023")


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfa,b\n1,2\n",
        b"a,b\r\n1,2\r\n",
        b"a,b\r1,2\r",
        b"a,b\n1,2",
        b"\na,b\n\n1,2\n\n",
        b'"a","b"\n"1","2"\n',
        b"a,b\r\n1,2\n",
        b"a,b\n1,2\r\n",
        b"a,b\r1,2\n\r\n",
    ],
    ids=["a mark", "CRLF", "CR", "no last line end", "blank lines", "quotes", "LF last", "LF first", "all"],
)
async def test_forms_of_one_file_are_one_file(bench: Profiles, content: bytes):
    result = await bench.of(content)
    assert [(column["name"], column["top"]) for column in result["columns"]] == [
        ("a", [{"value": 1, "count": 1}]),
        ("b", [{"value": 2, "count": 1}]),
    ]


@pytest.mark.usefixtures("way")
async def test_a_header_alone_is_a_file_without_rows(bench: Profiles):
    result = await bench.of("a,b\n")
    assert (result["rows"], [column["count"] for column in result["columns"]]) == (0, [0, 0])


async def test_quotes_hold_delimiters_line_ends_and_quotes(bench: Profiles):
    column = await bench.column('a,b\n"x,\n""y""",2\n')
    assert column["top"] == [{"value": 'x,\n"y"', "count": 1}]


async def test_a_record_across_the_end_of_the_sample_is_whole(bench: Profiles):
    rows = SAMPLE_BYTES // 4 + 10
    result = await bench.of("a,é\n" + "1,é\n" * rows)
    assert (result["rows"], result["columns"][1]["distinct"]) == (rows, 1)


async def test_blank_lines_may_end_otherwise(bench: Profiles):
    result = await bench.of(b"\n\na,b\r\n1,2\r\n3,4\r\n")
    assert (result["rows"], result["columns"][0]["max"]) == (2, 3)


async def test_of_mixed_line_ends_those_in_quotes_stay(bench: Profiles):
    content = b'a,b\r\n"x\r\ny",1\n"x\ny",2\r\n"x\ry",3\n'
    column = (await bench.of(content, top=3))["columns"][0]
    assert [entry["value"] for entry in column["top"]] == ["x\ny", "x\r\ny", "x\ry"]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
async def test_line_ends_are_found_across_the_pieces_that_are_read(
    bench: Profiles, size: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("job_types.csv_profile.text.PIECE", size)
    result = await bench.of(b'a,b\r\n1,"x\r\n"\n3,\r\n')
    assert (result["rows"], result["columns"][1]["min"]) == (2, "x\r\n")


NO_HEADER = {
    "2024-01-01 12:00:01,5.3\n2024-01-01 12:00:02,5.4\n": (",", ["timestamp", "float"]),
    "2024-01-01T12:00:01Z,up\n2024-01-01T12:00:02Z,down\n": (",", ["timestamp", "text"]),
    "12:30:41,12:30:42\n12:31:41,12:31:42\n": (",", ["text", "text"]),
    "12:30,1,5\n12:31,2,6\n": (",", ["text", "integer", "integer"]),
    "2024-01-01 12:00:01.5+01:00|a\n2024-01-01 12:00:02+01:00|b\n": ("|", ["timestamp", "text"]),
    "12:30;1,5\n12:40;2,5\n": (";", ["text", "text"]),
    "1,5;2,5\n3,5;4,5\n5,5;6,5\n": (";", ["text", "text"]),
    "1,5\t2,5\n3,5\t4,5\n": ("\t", ["text", "text"]),
    '1,"x;y"\n2,"z;w"\n': (",", ["integer", "text"]),
    "Smith, John;42\nDoe, Jane;43\n": (";", ["text", "integer"]),
    "root:x:0:/root\nbin:x:1:/bin\n": (":", ["text", "text", "integer", "text"]),
    "2024-01-01 12:00:01,5\n2024-01-01 12:00:02,6\n": (",", ["timestamp", "integer"]),
    "a:1,b:2,c:3\na:4,b:5,c:6\n": (",", ["text", "text", "text"]),
    "1;red,blue,green\n2;red,blue\n3;red\n4;blue,red,tan\n": (";", ["integer", "text"]),
}


@pytest.mark.parametrize(("content", "found"), NO_HEADER.items(), ids=repr)
async def test_no_delimiter_tears_dates_times_and_numbers_apart(
    bench: Profiles, content: str, found: tuple[str, list[str]]
):
    result = await bench.of(content, header=False)
    assert (result["delimiter"], [column["type"] for column in result["columns"]]) == found


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("csv_ts_comma_noheader.csv", (",", False, ["timestamp", "float"])),
        ("csv_iso_ts_noheader.csv", (",", False, ["timestamp", "text"])),
        ("csv_decimal_comma_noheader.csv", (";", False, ["text", "text"])),
        ("csv_mixed_eol_last_line.csv", ("|", False, ["text", "integer"])),
    ],
)
async def test_files_as_people_have_them(bench: Profiles, name: str, found: object):
    result = await bench.of((CASES / name).read_bytes())
    assert (result["delimiter"], result["header"], [c["type"] for c in result["columns"]]) == found


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("csv_extra_empty_field.csv", "Line 3 "),
        ("csv_extra_two_empty.csv", "Line 2 "),
        ("csv_nul.csv", "NUL"),
        ("csv_utf16le_nobom.csv", "UTF-16"),
    ],
)
async def test_files_that_fail(bench: Profiles, name: str, words: str):
    with pytest.raises(FinalError, match=words) as caught:
        await bench.of((CASES / name).read_bytes())
    assert caught.value.code == "unreadable_csv"


async def test_a_bad_record_does_not_change_the_delimiter(bench: Profiles):
    """Of a file whose times hold colons in every record, while one has a field too many."""
    content = "2024-01-01 12:00:01,5.3\n" * 20 + "2024-01-01 12:00:02,5.4,7\n"
    with pytest.raises(FinalError, match="Line 21 has 3 fields instead of 2"):
        await bench.of(content)


# -- as the params say


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "windows-1252", "iso-8859-15", "mac-roman"]
)
async def test_a_file_in_another_encoding_is_read(bench: Profiles, encoding: str):
    result = await bench.of("naïve,é\nö,1\n".encode(encoding), encoding=encoding)
    assert [(column["name"], column["min"]) for column in result["columns"]] == [("naïve", "ö"), ("é", 1)]


async def test_a_file_in_another_encoding_than_the_params_say_fails(bench: Profiles):
    with pytest.raises(FinalError, match="is not shift_jis") as caught:
        await bench.of("a,b\n1,\xff\xff\n".encode("iso-8859-1"), encoding="shift_jis")
    assert caught.value.code == "unreadable_csv"
    with pytest.raises(FinalError, match="NUL byte"):
        await bench.of("a,b\n1,2\n".encode("utf-32-le"), encoding="windows-1252")


@pytest.mark.usefixtures("way")
async def test_nulls_are_what_the_params_say(bench: Profiles):
    content = 'v\n1\nNA\n-\nna\n"NA"\n\n'
    column = await bench.column(content, nulls=["NA", "-", "na"])
    assert (column["type"], column["count"], column["nulls"]) == ("integer", 1, 5)
    column = await bench.column(content, nulls=["NA"])
    assert (column["type"], column["count"], column["nulls"]) == ("text", 3, 3)
    assert (await bench.column(content))["nulls"] == 1


FORMATS = {
    "1,234.5": (["1,234.5", "1234.25", "-1,234,567", ".5"], [1234.5, 1234.25, -1234567, 0.5]),
    "1 234.5": (["1 234.5", "1\u00a0234", "1\u202f234.25"], [1234.5, 1234, 1234.25]),
    "1'234.5": (["1'234.5", "1’234", "7"], [1234.5, 1234, 7]),
    "1234,5": (["1234,5", "0,25", "-7"], [1234.5, 0.25, -7]),
    "1.234,5": (["1.234,5", "1.234.567", "1234,25"], [1234.5, 1234567, 1234.25]),
    "1 234,5": (["1 234,5", "1\u00a0234", "5e2"], [1234.5, 1234, 500]),
}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("numbers", "fields"), FORMATS.items())
async def test_numbers_are_written_as_the_params_say(
    bench: Profiles, numbers: str, fields: tuple[list[str], list[float]]
):
    texts, values = fields
    column = await bench.column("v\n" + "\n".join(texts) + "\n", numbers=numbers, delimiter="|")
    assert (column["type"], column["distinct"]) == ("float", len(values))
    assert (column["min"], column["max"]) == (min(values), max(values))
    assert column["mean"] == pytest.approx(sum(values) / len(values))


@pytest.mark.usefixtures("way")
async def test_what_is_written_otherwise_is_text_as_it_was(bench: Profiles):
    for text in ("1,23", "12,34,567", "1.234.5", "1,234,5", "0,123"):
        column = await bench.column(f"v\n{text}\n", numbers="1,234.5", delimiter="|")
        assert (column["type"], column["min"]) == ("text", text)
    column = await bench.column("v\n1,234\n1234\n", numbers="1,234.5", delimiter="|")
    assert (column["type"], column["distinct"], column["max"]) == ("integer", 1, 1234)


async def test_a_number_of_the_params_is_no_name(bench: Profiles):
    assert (await bench.of("1'234;2\n1'235;3\n", numbers="1'234.5"))["header"] is False


# -- many columns


async def test_a_thousand_columns_take_about_a_second(tmp_path: Path):
    """Few statements for all of them together: it was nine for each, 13 s."""
    statements: list[str] = []
    with computing.open_database(CASES / "csv_1000_columns.csv", tmp_path) as database:
        counted = Mock(wraps=database)
        params = CsvProfileParams(file="file_" + "0" * 32)
        dialect = find_dialect(CASES / "csv_1000_columns.csv", params)
        rows = computing.load_small(counted, CASES / "csv_1000_columns.csv", dialect, params)
        columns = profile_small(counted, dialect.names, rows, KINDS, params)
        statements += [str(call) for call in counted.execute.call_args_list]
    assert len(columns) == 1000
    assert len(statements) < 10 * len(KINDS)


async def test_texts_are_shortened_until_the_result_fits(bench: Profiles, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("worker.context.MAX_RESULT_BYTES", 20_000)
    bench._tools = replace(bench._tools, max_result_bytes=20_000)
    rows = [",".join(f"{row}-{column}" + "é" * 150 for column in range(10)) for row in range(20)]
    result = await bench.of("\n".join(rows) + "\n", header=False, top=20)
    assert len(orjson.dumps(result)) <= 20_000
    column = result["columns"][0]
    assert (len(column["top"]), column["distinct"]) == (20, 20)
    assert {len(entry["value"]) for entry in column["top"]} == {26}
    assert column["top"][0]["value"].endswith("é…")


async def test_a_result_that_fits_is_not_shortened(bench: Profiles):
    result = await bench.of("v\n" + "x" * 200 + "\n", header=True)
    assert result["columns"][0]["min"] == "x" * 200


async def test_columns_are_loaded_some_at_a_time(bench: Profiles, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(computing, "COLUMNS_AT_ONCE", 3)
    monkeypatch.setattr(computing, "SMALL_BYTES", -1)
    await bench.of(",".join(f"c{n}" for n in range(8)) + "\n" + "1,2,3,4,5,6,7,8\n" * 2)
    result = await bench.again()
    assert result["columns"] == list(profile_columns(bench.path))


async def test_too_many_columns_are_refused(bench: Profiles):
    with pytest.raises(FinalError, match="1,001 columns") as caught:
        await bench.of(",".join(f"c{n}" for n in range(1001)) + "\n")
    assert caught.value.code == "too_many_columns"


async def test_progress_rises_with_each_column(bench: Profiles, monkeypatch: pytest.MonkeyPatch):
    reports: list[tuple[float, str]] = []
    monkeypatch.setattr(computing, "progress", lambda *report: reports.append(report))
    monkeypatch.setattr(computing, "SMALL_BYTES", -1)
    await bench.of("a,b\n1,2\n")
    assert [message for _, message in reports] == [
        "reading columns 1 to 2 of 2",
        "column 1 of 2",
        "column 2 of 2",
    ]
    fractions = [fraction for fraction, _ in reports]
    assert fractions == sorted(fractions)
    assert 0 == fractions[0] < fractions[-1] < 1


# -- what is no CSV


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
        (b"a,b\n1," + b"x" * MOST_RECORD_BYTES + b"\n", "Line 2 is longer than 1,048,576 bytes."),
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
async def test_what_is_no_csv_is_refused_by_its_line(bench: Profiles, content: bytes, message: str):
    with pytest.raises(FinalError) as caught:
        await bench.of(content)
    assert (caught.value.code, caught.value.message) == ("unreadable_csv", message)
    assert caught.value.hint


# -- what it touches


async def test_nothing_is_left_of_the_scratch_folder(bench: Profiles, tmp_path: Path):
    await bench.of("a,b\n1,2\n")
    with pytest.raises(FinalError):
        await bench.of("")
    assert not list((tmp_path / "scratch").glob(f"{PREFIX}*"))


def test_the_database_reaches_nothing_else(tmp_path: Path):
    (tmp_path / "other.csv").write_text("a\n1\n")
    (tmp_path / "scratch").mkdir()
    with computing.open_database(tmp_path / "upload.csv", tmp_path / "scratch") as database:
        for statement in (
            f"FROM read_csv('{tmp_path}/other.csv')",
            f"COPY (SELECT 1) TO '{tmp_path}/made.csv'",
            f"ATTACH '{tmp_path}/made.db'",
            "LOAD httpfs",
            "INSTALL httpfs",
            "SELECT * FROM read_csv('http://127.0.0.1:9/a.csv')",
            "SET enable_external_access = true",
            "SET memory_limit = '64GB'",
        ):
            with pytest.raises(duckdb.Error):
                database.execute(statement)
    assert {path.name for path in tmp_path.iterdir()} == {"other.csv", "scratch"}
