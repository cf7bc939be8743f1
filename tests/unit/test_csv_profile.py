"""Every figure of a CSV profile is that of another engine; what is no CSV is refused by its line."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.csv_file import write_csv
from benchmarks.csv_reference import profile_columns
from shared.errors import FinalError
from tests.unit.workbench import Workbench
from worker.computing import csv_profile as computing
from worker.computing.csv_dialect import MOST_RECORD_BYTES, SAMPLE_BYTES
from worker.handlers.csv_profile import csv_profile
from worker.scratch import PREFIX


class Profiles(Workbench):
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
    "a null byte": "a\0b a",
}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
async def test_every_figure_of_a_column_is_that_of_another_engine(bench: Profiles, values: str):
    column = await bench.column("v\n" + "\n".join(values.split(" ")) + "\n")
    assert [column] == list(profile_columns(bench.path))


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


async def test_a_mean_beyond_what_a_double_sums_up_is_null(bench: Profiles):
    column = await bench.column("v\n1e308\n1e308\n")
    assert (column["type"], column["mean"], column["max"]) == ("float", None, 1e308)


async def test_a_type_is_that_of_all_values_not_of_the_first_ones(bench: Profiles):
    assert (await bench.column("v\n" + "1\n" * 3000 + "one\n"))["type"] == "text"
    assert (await bench.column("v\n" + "1\n" * 3000 + "1.5\n"))["type"] == "float"
    assert (await bench.column("v\n" + "\n" * 3000 + "1\n"))["type"] == "integer"


async def test_a_column_of_nulls_is_text_without_figures(bench: Profiles):
    column = (await bench.of('a,b\n1,\n2,""\n'))["columns"][1]
    assert (column["type"], column["count"], column["nulls"], column["distinct"]) == ("text", 0, 2, 0)
    assert (column["min"], column["max"], column["mean"]) == (None, None, None)
    assert (column["quantiles"], column["top"]) == ([], [])


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
    ],
    ids=["a mark", "CRLF", "CR", "no last line end", "blank lines", "quotes"],
)
async def test_forms_of_one_file_are_one_file(bench: Profiles, content: bytes):
    result = await bench.of(content)
    assert [(column["name"], column["top"]) for column in result["columns"]] == [
        ("a", [{"value": 1, "count": 1}]),
        ("b", [{"value": 2, "count": 1}]),
    ]


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


# -- many columns


async def test_columns_are_loaded_some_at_a_time(bench: Profiles, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(computing, "COLUMNS_AT_ONCE", 3)
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
        ("a,b\n1,2\n".encode("utf-16"), "Line 1 is not UTF-8."),
        (b"a,b\n1," + b"x" * MOST_RECORD_BYTES + b"\n", "Line 2 is longer than 1,048,576 bytes."),
        (b"a,b\r\n1,2\n3,4\r\n", "The file is not CSV as in RFC 4180."),
    ],
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
