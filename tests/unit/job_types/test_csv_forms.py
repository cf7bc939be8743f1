"""Forms of CSV files: delimiters, headers, line ends, encodings, nulls and numbers."""

from pathlib import Path

import pytest

from job_types.csv_profile.dialect import SAMPLE_BYTES
from shared.errors import FinalError
from tests.unit.job_types.csv_profiles import Profiles

CASES = Path(__file__).parents[2] / "cases"


# -- how the file is written


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ":"])
@pytest.mark.parametrize("given", [True, False])
async def test_the_delimiter_is_found(profiles: Profiles, delimiter: str, given: bool):
    content = "a,b,c\n1,x.y,2\n3,z,4\n".replace(",", delimiter)
    result = await profiles.of(content, **({"delimiter": delimiter} if given else {}))
    assert result["delimiter"] == delimiter
    assert [column["name"] for column in result["columns"]] == ["a", "b", "c"]


async def test_the_delimiter_of_more_whole_rows_is_taken(profiles: Profiles):
    result = await profiles.of('when;what\n10:30;"a,b,c"\n11:45;d\n')
    assert (result["delimiter"], len(result["columns"])) == (";", 2)


async def test_a_single_column_needs_no_delimiter(profiles: Profiles):
    result = await profiles.of("word\nto\nbe\n")
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
async def test_the_header_is_found(profiles: Profiles, content: str, header: bool, names: list[str]):
    result = await profiles.of(content)
    assert (result["header"], [column["name"] for column in result["columns"]]) == (header, names)


async def test_a_header_is_what_the_params_say(profiles: Profiles):
    assert (await profiles.of("a,b\nc,d\n", header=False))["rows"] == 2
    result = await profiles.of("2023,2024\n1,2\n", header=True)
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
async def test_forms_of_one_file_are_one_file(profiles: Profiles, content: bytes):
    result = await profiles.of(content)
    assert [(column["name"], column["top"]) for column in result["columns"]] == [
        ("a", [{"value": 1, "count": 1}]),
        ("b", [{"value": 2, "count": 1}]),
    ]


@pytest.mark.usefixtures("way")
async def test_a_header_alone_is_a_file_without_rows(profiles: Profiles):
    result = await profiles.of("a,b\n")
    assert (result["rows"], [column["count"] for column in result["columns"]]) == (0, [0, 0])


async def test_quotes_hold_delimiters_line_ends_and_quotes(profiles: Profiles):
    column = await profiles.column('a,b\n"x,\n""y""",2\n')
    assert column["top"] == [{"value": 'x,\n"y"', "count": 1}]


async def test_a_record_across_the_end_of_the_sample_is_whole(profiles: Profiles):
    rows = SAMPLE_BYTES // 4 + 10
    result = await profiles.of("a,é\n" + "1,é\n" * rows)
    assert (result["rows"], result["columns"][1]["distinct"]) == (rows, 1)


async def test_blank_lines_may_end_otherwise(profiles: Profiles):
    result = await profiles.of(b"\n\na,b\r\n1,2\r\n3,4\r\n")
    assert (result["rows"], result["columns"][0]["max"]) == (2, 3)


async def test_of_mixed_line_ends_those_in_quotes_stay(profiles: Profiles):
    content = b'a,b\r\n"x\r\ny",1\n"x\ny",2\r\n"x\ry",3\n'
    column = (await profiles.of(content, top=3))["columns"][0]
    assert [entry["value"] for entry in column["top"]] == ["x\ny", "x\r\ny", "x\ry"]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
async def test_line_ends_are_found_across_the_pieces_that_are_read(
    profiles: Profiles, size: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("job_types.csv_profile.text.PIECE", size)
    result = await profiles.of(b'a,b\r\n1,"x\r\n"\n3,\r\n')
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
    profiles: Profiles, content: str, found: tuple[str, list[str]]
):
    result = await profiles.of(content, header=False)
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
async def test_files_as_people_have_them(profiles: Profiles, name: str, found: object):
    result = await profiles.of((CASES / name).read_bytes())
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
async def test_files_that_fail(profiles: Profiles, name: str, words: str):
    with pytest.raises(FinalError, match=words) as caught:
        await profiles.of((CASES / name).read_bytes())
    assert caught.value.code == "unreadable_csv"


async def test_a_bad_record_does_not_change_the_delimiter(profiles: Profiles):
    """Of a file whose times hold colons in every record, while one has a field too many."""
    content = "2024-01-01 12:00:01,5.3\n" * 20 + "2024-01-01 12:00:02,5.4,7\n"
    with pytest.raises(FinalError, match="Line 21 has 3 fields instead of 2"):
        await profiles.of(content)


# -- as the params say


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "windows-1252", "iso-8859-15", "mac-roman"]
)
async def test_a_file_in_another_encoding_is_read(profiles: Profiles, encoding: str):
    result = await profiles.of("naïve,é\nö,1\n".encode(encoding), encoding=encoding)
    assert [(column["name"], column["min"]) for column in result["columns"]] == [("naïve", "ö"), ("é", 1)]


async def test_a_file_in_another_encoding_than_the_params_say_fails(profiles: Profiles):
    with pytest.raises(FinalError, match="is not shift_jis") as caught:
        await profiles.of("a,b\n1,\xff\xff\n".encode("iso-8859-1"), encoding="shift_jis")
    assert caught.value.code == "unreadable_csv"
    with pytest.raises(FinalError, match="NUL byte"):
        await profiles.of("a,b\n1,2\n".encode("utf-32-le"), encoding="windows-1252")


@pytest.mark.usefixtures("way")
async def test_nulls_are_what_the_params_say(profiles: Profiles):
    content = 'v\n1\nNA\n-\nna\n"NA"\n\n'
    column = await profiles.column(content, nulls=["NA", "-", "na"])
    assert (column["type"], column["count"], column["nulls"]) == ("integer", 1, 5)
    column = await profiles.column(content, nulls=["NA"])
    assert (column["type"], column["count"], column["nulls"]) == ("text", 3, 3)
    assert (await profiles.column(content))["nulls"] == 1


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
    profiles: Profiles, numbers: str, fields: tuple[list[str], list[float]]
):
    texts, values = fields
    column = await profiles.column("v\n" + "\n".join(texts) + "\n", numbers=numbers, delimiter="|")
    assert (column["type"], column["distinct"]) == ("float", len(values))
    assert (column["min"], column["max"]) == (min(values), max(values))
    assert column["mean"] == pytest.approx(sum(values) / len(values))


@pytest.mark.usefixtures("way")
async def test_a_number_in_another_format_is_text_as_it_was(profiles: Profiles):
    for text in ("1,23", "12,34,567", "1.234.5", "1,234,5", "0,123"):
        column = await profiles.column(f"v\n{text}\n", numbers="1,234.5", delimiter="|")
        assert (column["type"], column["min"]) == ("text", text)
    column = await profiles.column("v\n1,234\n1234\n", numbers="1,234.5", delimiter="|")
    assert (column["type"], column["distinct"], column["max"]) == ("integer", 1, 1234)


async def test_a_number_of_the_params_is_no_name(profiles: Profiles):
    assert (await profiles.of("1'234;2\n1'235;3\n", numbers="1'234.5"))["header"] is False
