"""Exact figures of a CSV file, however large and whatever its data, in bounded memory.

The columns are loaded as text, some at a time, into a database in a scratch folder. The values of a column
are counted once, and all figures come from the counts. What memory does not hold goes into the folder.
"""

import math
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from shared.contracts.csv_profile import (
    MOST_CHARACTERS,
    ColumnProfile,
    CsvProfileParams,
    CsvProfileResult,
    Frequency,
    Quantile,
)
from shared.errors import FinalError
from worker.child import log, progress
from worker.computing.column_kinds import KINDS, TEXT, Kind
from worker.computing.csv_dialect import MOST_RECORD_BYTES, Dialect, find_dialect, unreadable

MEMORY = "256MB"
THREADS = 2
COLUMNS_AT_ONCE = 100  # a block of memory for each of them and each thread
LOADING = 0.4  # the share of the time
LOOKED_AT = 1000  # values that rule out most kinds
FLOAT_DIGITS = 12  # of a mean: the order in which threads add decides on those behind

BAD_RECORD = re.compile(r"CSV Error on Line: (\d+)")
FAULTS = (
    (re.compile(r"Expected Number of Columns: (\d+) Found: (\d+)"), r"has \2 fields instead of \1"),
    (re.compile("unterminated quote"), "has a quote that does not end, or text behind it"),
    (re.compile("Invalid unicode"), "is not UTF-8"),
    (re.compile("Maximum line size"), f"is longer than {MOST_RECORD_BYTES:,} bytes"),
)


def profile(path: Path, params: CsvProfileParams, scratch: Path) -> CsvProfileResult:
    """Raises FinalError: `unreadable_csv` or `too_many_columns`."""
    dialect = find_dialect(path, params)
    log("dialect found", delimiter=dialect.delimiter, header=dialect.header, columns=len(dialect.names))
    with open_database(path, scratch) as database:
        columns = list(profile_columns(database, path, dialect, params))
    return CsvProfileResult(
        rows=columns[0].count + columns[0].nulls,
        delimiter=dialect.delimiter,
        header=dialect.header,
        columns=columns,
    )


def open_database(path: Path, scratch: Path) -> duckdb.DuckDBPyConnection:
    """A database that can reach nothing but the file and the folder."""
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
    database: duckdb.DuckDBPyConnection, path: Path, dialect: Dialect, params: CsvProfileParams
) -> Iterator[ColumnProfile]:
    total = len(dialect.names)
    for first in range(0, total, COLUMNS_AT_ONCE):
        group = range(first, min(first + COLUMNS_AT_ONCE, total))
        progress(first / total, f"reading columns {first + 1} to {group.stop} of {total}")
        load(database, path, dialect, group)
        for done, place in enumerate(group):
            share = LOADING + (1 - LOADING) * done / len(group)
            progress((first + share * len(group)) / total, f"column {place + 1} of {total}")
            yield profile_column(database, f"c{place}", dialect.names[place], params)


def load(database: duckdb.DuckDBPyConnection, path: Path, dialect: Dialect, group: range) -> None:
    """Put these columns into the table `fields`; of a value too long to be shown, start and digest."""
    names = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(dialect.names)))
    fields = ", ".join(
        f"CASE WHEN length(c{place}) > {MOST_CHARACTERS}"
        f" THEN left(c{place}, {MOST_CHARACTERS}) || sha256(c{place}) ELSE c{place} END AS c{place}"
        for place in group
    )
    try:
        database.execute(
            f"""
            CREATE OR REPLACE TABLE fields AS SELECT {fields} FROM read_csv(
                $path, delim = $delimiter, header = $header, skip = $blank, columns = {{{names}}},
                quote = '"', escape = '"',
                auto_detect = false, strict_mode = true, max_line_size = {MOST_RECORD_BYTES}
            )
            """,
            {
                "path": str(path),
                "delimiter": dialect.delimiter,
                "header": dialect.header,
                "blank": dialect.blank,
            },
        )
    except duckdb.InvalidInputException as error:
        raise explain(str(error)) from None


def explain(error: str) -> FinalError:
    """What DuckDB found wrong with the file."""
    record = BAD_RECORD.search(error)
    faults = [match.expand(text) for pattern, text in FAULTS if (match := pattern.search(error))]
    if not record or not faults:
        return unreadable(
            "The file is not CSV as in RFC 4180.",
            'Let all lines end alike, and put fields with a delimiter, a line end or a " into quotes.',
        )
    return unreadable(
        f"Line {record[1]} {faults[0]}.",
        "Correct it, or name the file's delimiter. Line ends inside of quotes are not counted.",
    )


def profile_column(
    database: duckdb.DuckDBPyConnection, column: str, name: str, params: CsvProfileParams
) -> ColumnProfile:
    kind = find_kind(database, column)
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
        mean=find_mean(database, kind, count) if kind.numeric else None,
        quantiles=find_quantiles(database, kind, count, params.quantiles) if kind.ordered else [],
        top=[Frequency(value=value, count=n) for value, n in top],
    )


def find_kind(database: duckdb.DuckDBPyConnection, column: str) -> Kind:
    """The first kind that accepts every value; text, if there are none."""
    fields = f"SELECT {column} AS v FROM fields WHERE {column} IS NOT NULL"
    likely = accepting(database, KINDS, f"{fields} LIMIT {LOOKED_AT}")
    return accepting(database, likely, fields)[0]


def accepting(database: duckdb.DuckDBPyConnection, kinds: Sequence[Kind], fields: str) -> list[Kind]:
    """Those of the kinds that accept every field."""
    counted = ", ".join(f"count_if({kind.accepts})" for kind in kinds)
    count, *accepted = one(database, f"SELECT count(*), {counted} FROM ({fields})")
    return [kind for kind, n in zip(kinds, accepted, strict=True) if n == count > 0 or kind is TEXT]


def find_mean(database: duckdb.DuckDBPyConnection, kind: Kind, count: int) -> float | None:
    if kind.type == "integer":
        total: int = one(database, "SELECT sum(CAST(value AS HUGEINT) * n) FROM counts")[0]
        return total / count
    mean = one(database, "SELECT fsum(value * n) FROM counts")[0] / count
    return float(f"{mean:.{FLOAT_DIGITS}g}") if math.isfinite(mean) else None


def find_quantiles(
    database: duckdb.DuckDBPyConnection, kind: Kind, count: int, quantiles: tuple[float, ...]
) -> list[Quantile]:
    """The smallest values that these shares of all values do not exceed."""
    if not count or not quantiles:
        return []
    ranks = [max(1, math.ceil(Decimal(repr(at)) * count)) for at in quantiles]
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
