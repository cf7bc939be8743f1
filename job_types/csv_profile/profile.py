"""Profile of a CSV file of any size and content: exact figures in bounded memory.

The columns are loaded as text, some at a time, into a database in a scratch folder. The values of a column
are counted once, and all figures come from the counts. The database spills into the folder.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import duckdb

from job_types.csv_profile.column_kinds import TEXT, Kind, kinds_for, rank
from job_types.csv_profile.contract import (
    MAX_CHARACTERS,
    ColumnProfile,
    CsvProfileParams,
    CsvProfileResult,
    Frequency,
    Quantile,
    Value,
)
from job_types.csv_profile.dialect import MAX_RECORD_BYTES, Dialect, find_dialect, read_records
from job_types.csv_profile.small_files import SMALL_BYTES, profile_small
from job_types.csv_profile.text import (
    has_empty_ends,
    has_mixed_line_ends,
    readable,
    unreadable,
    with_even_line_ends,
)
from shared.errors import FinalError
from worker.reporting import log, progress

MEMORY = "256MB"
THREADS = 2
COLUMNS_AT_ONCE = 100  # each column takes a block of memory in each thread
TINY_BYTES = 1 << 20  # the size of a file that fits into memory with any number of columns
ROW = -1  # the place of an extra field of every row, which counts the rows
LOADING = 0.4  # the share of loading in the time
SAMPLE_VALUES = 1000  # enough to rule out most kinds
SHORTER = (100, 50, 25, 10)  # characters of texts in a result that is too large with MAX_CHARACTERS
SHOWN = f"""
    CASE WHEN length({{0}}) > {MAX_CHARACTERS}
    THEN left({{0}}, {MAX_CHARACTERS}) || sha256({{0}}) ELSE {{0}} END
"""  # start and digest of a value that is too long to be shown
CORRECT_HINT = "Correct it, or name the file's delimiter. Line ends inside of quotes are not counted."

BAD_RECORD = re.compile(r"CSV Error on Line: (\d+)")
FAULTS = (
    (re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)"), r"has \2 fields instead of \1"),
    (re.compile("unterminated quote"), "has a quote that does not end, or text behind it"),
    (re.compile("Invalid unicode"), "is not UTF-8"),
    (re.compile("Maximum line size"), f"is longer than {MAX_RECORD_BYTES:,} bytes"),
)


def profile(path: Path, params: CsvProfileParams, scratch: Path, most_bytes: int) -> CsvProfileResult:
    """Profile a file.

    Args:
        path: the file.
        params: the params of the job.
        scratch: a folder for temporary files.
        most_bytes: the largest result as JSON, in bytes; its texts are shortened to fit.

    Raises:
        FinalError: `unreadable_csv` or `too_many_columns`.
    """
    path = readable(path, params.encoding, scratch)
    dialect = find_dialect(path, params)
    log("dialect found", delimiter=dialect.delimiter, header=dialect.header, columns=len(dialect.names))
    rows, columns = profile_lines(path, dialect, params, scratch)
    return fitting(
        CsvProfileResult(rows=rows, delimiter=dialect.delimiter, header=dialect.header, columns=columns),
        most_bytes,
    )


def profile_lines(
    path: Path, dialect: Dialect, params: CsvProfileParams, scratch: Path
) -> tuple[int, list[ColumnProfile]]:
    """The number of rows and the profiles of the columns of a file with mixed line ends.

    DuckDB fails at such a file, or skips some of its lines; so its line ends are rewritten first.
    """
    try:
        if dialect.blank == 0 or not has_mixed_line_ends(path):
            return profile_file(path, dialect, params, scratch)
    except FinalError:
        if not has_mixed_line_ends(path):
            raise
    return profile_file(with_even_line_ends(path, scratch / "even.csv"), dialect, params, scratch)


def profile_file(
    path: Path, dialect: Dialect, params: CsvProfileParams, scratch: Path
) -> tuple[int, list[ColumnProfile]]:
    """The number of rows and the profiles of the columns."""
    kinds = kinds_for(params.numbers)
    with open_database(path, scratch) as database:
        refuse_wide_records(path, dialect)
        if path.stat().st_size <= SMALL_BYTES * len(dialect.names):
            rows = load_small(database, path, dialect, params)
            progress(LOADING, f"{rows} rows")
            return rows, profile_small(database, dialect.names, rows, kinds, params)
        columns = list(profile_columns(database, path, dialect, params, kinds))
    return columns[0].count + columns[0].nulls, columns


def fitting(result: CsvProfileResult, most_bytes: int) -> CsvProfileResult:
    """The result with its texts shortened until it fits, or to the shortest length if it never does."""
    for length in SHORTER:
        if len(result.model_dump_json().encode()) <= most_bytes:
            break
        for column in result.columns:
            if column.type == "text":
                column.min, column.max = shortened(column.min, length), shortened(column.max, length)
                for entry in column.top:
                    entry.value = cast("Value", shortened(entry.value, length))
    return result


def shortened(value: Value | None, length: int) -> Value | None:
    if isinstance(value, str) and len(value) > length + 1:
        return f"{value[:length]}…"
    return value


def open_database(path: Path, scratch: Path) -> duckdb.DuckDBPyConnection:
    """Open a database that can read the file, write into the folder, and reach nothing else."""
    database = duckdb.connect(
        scratch / "profile.duckdb",
        config={
            "memory_limit": MEMORY,
            "threads": THREADS,
            "temp_directory": str(scratch),
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    database.execute("SET allowed_paths = ?", [[str(path)]])
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")
    return database


def profile_columns(
    database: duckdb.DuckDBPyConnection,
    path: Path,
    dialect: Dialect,
    params: CsvProfileParams,
    kinds: Sequence[Kind],
) -> Iterator[ColumnProfile]:
    total = len(dialect.names)
    for first in range(0, total, COLUMNS_AT_ONCE):
        group = range(first, min(first + COLUMNS_AT_ONCE, total))
        progress(first / total, f"reading columns {first + 1} to {group.stop} of {total}")
        load(database, path, dialect, params, group)
        for done, place in enumerate(group):
            share = LOADING + (1 - LOADING) * done / len(group)
            progress((first + share * len(group)) / total, f"column {place + 1} of {total}")
            yield profile_column(database, f"c{place}", dialect.names[place], params, kinds)


def load(
    database: duckdb.DuckDBPyConnection, path: Path, dialect: Dialect, params: CsvProfileParams, group: range
) -> None:
    """Load these columns into the table `fields`."""
    fields = ", ".join(f"{SHOWN.format(f'c{place}')} AS c{place}" for place in group)
    read(
        database,
        f"CREATE OR REPLACE TABLE fields AS SELECT {fields} FROM {{file}}",
        path,
        dialect,
        params.nulls,
    )


def load_small(
    database: duckdb.DuckDBPyConnection, path: Path, dialect: Dialect, params: CsvProfileParams
) -> int:
    """Load the fields of all columns into the table `fields`, a row each; returns the file's row count."""
    total = len(dialect.names)
    at_once = total if path.stat().st_size <= TINY_BYTES else COLUMNS_AT_ONCE
    database.execute("CREATE TEMP TABLE fields (place INTEGER, v VARCHAR)")
    for first in range(0, total, at_once):
        group = range(first, min(first + at_once, total))
        progress(LOADING * first / total, f"reading columns {first + 1} to {group.stop} of {total}")
        places, columns = [ROW, *group], ", ".join(f"c{place}" for place in group)
        read(
            database,
            f"""
            INSERT INTO fields SELECT place, {SHOWN.format("v")} FROM (
                SELECT unnest({places}) AS place, unnest(['row', {columns}]) AS v FROM {{file}}
            ) WHERE v IS NOT NULL AND ({first} = 0 OR place <> {ROW})
            """,
            path,
            dialect,
            params.nulls,
        )
    (rows,) = one(database, f"SELECT count(*) FROM fields WHERE place = {ROW}")
    database.execute(f"DELETE FROM fields WHERE place = {ROW}")
    return int(rows)


def refuse_wide_records(path: Path, dialect: Dialect) -> None:
    """Refuse records with surplus fields that are empty: DuckDB accepts them."""
    if not has_empty_ends(path, dialect.delimiter):
        return
    width = len(dialect.names)
    for line, record in enumerate(read_records(path, dialect.delimiter), start=1):
        if len(record) > width and not any(record[width:]):
            raise unreadable(f"Line {line} has {len(record)} fields instead of {width}.", CORRECT_HINT)


def read(
    database: duckdb.DuckDBPyConnection, query: str, path: Path, dialect: Dialect, nulls: Sequence[str]
) -> None:
    """Execute a query on the file, which {file} stands for; its columns are c0, c1 and so on."""
    names = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(dialect.names)))
    file = f"""
        read_csv($path, delim = $delimiter, header = $header, skip = $blank, columns = {{{names}}},
            quote = '"', escape = '"', nullstr = $nulls,
            auto_detect = false, strict_mode = true, max_line_size = {MAX_RECORD_BYTES})
    """
    values = {
        "path": str(path),
        "delimiter": dialect.delimiter,
        "header": dialect.header,
        "blank": dialect.blank,
        "nulls": ["", *nulls],
    }
    try:
        database.execute(query.format(file=file), values)
    except duckdb.InvalidInputException as error:
        raise explain(str(error)) from None


def explain(error: str) -> FinalError:
    """The error for a file that DuckDB has refused."""
    record = BAD_RECORD.search(error)
    faults = [match.expand(text) for pattern, text in FAULTS if (match := pattern.search(error))]
    if not record or not faults:
        return unreadable(
            "The file is not CSV as in RFC 4180.",
            'Let all lines end alike, and put fields with a delimiter, a line end or a " into quotes.',
        )
    return unreadable(f"Line {record[1]} {faults[0]}.", CORRECT_HINT)


def profile_column(
    database: duckdb.DuckDBPyConnection,
    column: str,
    name: str,
    params: CsvProfileParams,
    kinds: Sequence[Kind],
) -> ColumnProfile:
    kind = find_kind(database, column, kinds)
    database.execute(
        f"""
        CREATE OR REPLACE TABLE counts AS
        SELECT {kind.parse} AS value, count(*) AS n
        FROM (SELECT {column} AS v FROM fields WHERE {column} IS NOT NULL) GROUP BY 1
        """
    )
    rows = one(database, "SELECT count(*) FROM fields")[0]
    distinct, count = one(database, "SELECT count(*), coalesce(sum(n), 0) FROM counts")
    low, high = one(database, f"SELECT {kind.show('min(value)')}, {kind.show('max(value)')} FROM counts")
    top = database.execute(
        f"SELECT {kind.show('value')}, n FROM counts ORDER BY n DESC, value LIMIT {params.top}"
    ).fetchall()
    return ColumnProfile(
        name=name,
        type=kind.type,
        count=count,
        nulls=rows - count,
        distinct=distinct,
        min=low,
        max=high,
        mean=kind.mean(one(database, f"SELECT {kind.total} FROM counts")[0], count),
        quantiles=find_quantiles(database, kind, count, params.quantiles) if kind.ordered else [],
        top=[Frequency(value=value, count=n) for value, n in top],
    )


def find_kind(database: duckdb.DuckDBPyConnection, column: str, kinds: Sequence[Kind]) -> Kind:
    """The first kind that accepts every value; text for a column without values."""
    fields = f"SELECT {column} AS v FROM fields WHERE {column} IS NOT NULL"
    likely = accepting(database, kinds, f"{fields} LIMIT {SAMPLE_VALUES}")
    return accepting(database, likely, fields)[0]


def accepting(database: duckdb.DuckDBPyConnection, kinds: Sequence[Kind], fields: str) -> list[Kind]:
    """The kinds that accept every field."""
    counted = ", ".join(f"count_if({kind.accepts})" for kind in kinds)
    count, *accepted = one(database, f"SELECT count(*), {counted} FROM ({fields})")
    return [kind for kind, n in zip(kinds, accepted, strict=True) if n == count > 0 or kind is TEXT]


def find_quantiles(
    database: duckdb.DuckDBPyConnection, kind: Kind, count: int, quantiles: tuple[float, ...]
) -> list[Quantile]:
    """The quantiles of a column, from the table `counts`."""
    if not count or not quantiles:
        return []
    ranks = [rank(at, count) for at in quantiles]
    values = ", ".join(kind.show(f"min(value) FILTER (reached >= {rank})") for rank in ranks)
    found = one(
        database,
        f"""
        SELECT {values} FROM (
            SELECT value, sum(n) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS reached
            FROM (SELECT value, n FROM counts ORDER BY value)
        )
        """,
    )
    return [Quantile(at=at, value=value) for at, value in zip(quantiles, found, strict=True)]


def one(database: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    (row,) = database.execute(query).fetchall()
    return tuple(row)
