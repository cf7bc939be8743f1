"""Figures of CSV profiles: every one is that of another engine; large files, many columns."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import duckdb
import orjson
import pytest

from benchmarks.csv_file import write_csv
from benchmarks.csv_reference import profile_columns
from job_types.csv_profile import profile as computing
from job_types.csv_profile.column_kinds import KINDS
from job_types.csv_profile.contract import CsvProfileParams
from job_types.csv_profile.dialect import find_dialect
from job_types.csv_profile.small_files import profile_small
from shared.errors import FinalError
from tests.unit.job_types.csv_profiles import Profiles
from worker.scratch import PREFIX

CASES = Path(__file__).parents[2] / "cases"


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_figure_of_a_mixed_file_is_that_of_another_engine(profiles: Profiles, seed: int):
    rows = write_csv(profiles.path, 100_000, seed)
    quantiles = (0.0, 0.01, 0.5, 0.9, 1.0)
    result = await profiles.again(top=7, quantiles=quantiles)
    assert (result["rows"], result["delimiter"], result["header"]) == (rows, ",", True)
    assert result["columns"] == list(profile_columns(profiles.path, top=7, quantiles=quantiles))
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
async def test_every_figure_of_a_column_is_that_of_another_engine(profiles: Profiles, values: str):
    column = await profiles.column("v\n" + "\n".join(values.split(" ")) + "\n")
    assert [column] == list(profile_columns(profiles.path))


@pytest.mark.usefixtures("way")
async def test_figures_by_hand(profiles: Profiles):
    column = await profiles.column("n\n3\n1\n2\n2\n10\n1\n\n", quantiles=[0.5, 0.7], top=3)
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
async def test_a_mean_beyond_what_a_double_sums_up_is_null(profiles: Profiles):
    column = await profiles.column("v\n1e308\n1e308\n")
    assert (column["type"], column["mean"], column["max"]) == ("float", None, 1e308)


@pytest.mark.usefixtures("way")
async def test_a_type_is_that_of_all_values_not_of_the_first_ones(profiles: Profiles):
    assert (await profiles.column("v\n" + "1\n" * 3000 + "one\n"))["type"] == "text"
    assert (await profiles.column("v\n" + "1\n" * 3000 + "1.5\n"))["type"] == "float"
    assert (await profiles.column("v\n" + "\n" * 3000 + "1\n"))["type"] == "integer"


@pytest.mark.usefixtures("way")
async def test_a_column_of_nulls_is_text_without_figures(profiles: Profiles):
    column = (await profiles.of('a,b\n1,\n2,""\n'))["columns"][1]
    assert (column["type"], column["count"], column["nulls"], column["distinct"]) == ("text", 0, 2, 0)
    assert (column["min"], column["max"], column["mean"]) == (None, None, None)
    assert (column["quantiles"], column["top"]) == ([], [])


@pytest.mark.usefixtures("way")
async def test_as_many_quantiles_and_values_as_were_asked_for(profiles: Profiles):
    column = await profiles.column("v\n1\n2\n3\n", quantiles=[], top=2)
    assert column["quantiles"] == []
    assert [entry["value"] for entry in column["top"]] == [1, 2]


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


async def test_texts_are_shortened_until_the_result_fits(profiles: Profiles, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("worker.context.MAX_RESULT_BYTES", 20_000)
    profiles._tools = replace(profiles._tools, max_result_bytes=20_000)
    rows = [",".join(f"{row}-{column}" + "é" * 150 for column in range(10)) for row in range(20)]
    result = await profiles.of("\n".join(rows) + "\n", header=False, top=20)
    assert len(orjson.dumps(result)) <= 20_000
    column = result["columns"][0]
    assert (len(column["top"]), column["distinct"]) == (20, 20)
    assert {len(entry["value"]) for entry in column["top"]} == {26}
    assert column["top"][0]["value"].endswith("é…")


async def test_a_result_that_fits_is_not_shortened(profiles: Profiles):
    result = await profiles.of("v\n" + "x" * 200 + "\n", header=True)
    assert result["columns"][0]["min"] == "x" * 200


async def test_columns_are_loaded_some_at_a_time(profiles: Profiles, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(computing, "COLUMNS_AT_ONCE", 3)
    monkeypatch.setattr(computing, "SMALL_BYTES", -1)
    await profiles.of(",".join(f"c{n}" for n in range(8)) + "\n" + "1,2,3,4,5,6,7,8\n" * 2)
    result = await profiles.again()
    assert result["columns"] == list(profile_columns(profiles.path))


async def test_too_many_columns_are_refused(profiles: Profiles):
    with pytest.raises(FinalError, match="1,001 columns") as caught:
        await profiles.of(",".join(f"c{n}" for n in range(1001)) + "\n")
    assert caught.value.code == "too_many_columns"


async def test_progress_rises_with_each_column(profiles: Profiles, monkeypatch: pytest.MonkeyPatch):
    reports: list[tuple[float, str]] = []
    monkeypatch.setattr(computing, "progress", lambda *report: reports.append(report))
    monkeypatch.setattr(computing, "SMALL_BYTES", -1)
    await profiles.of("a,b\n1,2\n")
    assert [message for _, message in reports] == [
        "reading columns 1 to 2 of 2",
        "column 1 of 2",
        "column 2 of 2",
    ]
    fractions = [fraction for fraction, _ in reports]
    assert fractions == sorted(fractions)
    assert 0 == fractions[0] < fractions[-1] < 1


# -- files and folders


async def test_nothing_is_left_of_the_scratch_folder(profiles: Profiles, tmp_path: Path):
    await profiles.of("a,b\n1,2\n")
    with pytest.raises(FinalError):
        await profiles.of("")
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
