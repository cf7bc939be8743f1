"""Profile of a small CSV file, all columns together: one by one, each takes nine statements of milliseconds.

A table has a row for each field, with the place of its column; the statements group by that place.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import duckdb

from job_types.csv_profile.column_kinds import Kind, rank
from job_types.csv_profile.contract import ColumnProfile, CsvProfileParams, Frequency, Quantile

SMALL_BYTES = 32 << 10  # the size of a small file, for each of its columns

Rows = list[tuple[Any, ...]]


def profile_small(
    database: duckdb.DuckDBPyConnection,
    names: Sequence[str],
    rows: int,
    kinds: Sequence[Kind],
    params: CsvProfileParams,
) -> list[ColumnProfile]:
    """Profile the columns whose fields are in the table `fields`.

    Args:
        database: holds the table, with the columns `place` and `v`, and without nulls.
        names: the names of the columns.
        rows: the number of rows of the file.
        kinds: the kinds that a column may be of.
        params: the params of the job.
    """
    profiles: dict[int, ColumnProfile] = {}
    for kind, places in by_kind(database, len(names), kinds).items():
        count_values(database, kind, places)
        tops, quantiles = (
            find_tops(database, kind, params.top),
            find_quantiles(database, kind, params.quantiles),
        )
        for place, distinct, count, low, high, total in find_figures(database, kind):
            profiles[place] = ColumnProfile(
                name=names[place],
                type=kind.type,
                count=count,
                nulls=rows - count,
                distinct=distinct,
                min=low,
                max=high,
                mean=kind.mean(total, count),
                quantiles=quantiles[place],
                top=tops[place],
            )
    return [profiles.get(place) or no_values(name, kinds[-1], rows) for place, name in enumerate(names)]


def no_values(name: str, kind: Kind, rows: int) -> ColumnProfile:
    """The profile of a column of nulls."""
    nothing: dict[str, Any] = {"min": None, "max": None, "mean": None, "quantiles": [], "top": []}
    return ColumnProfile(name=name, type=kind.type, count=0, nulls=rows, distinct=0, **nothing)


def by_kind(
    database: duckdb.DuckDBPyConnection, columns: int, kinds: Sequence[Kind]
) -> dict[Kind, list[int]]:
    """The places of the columns, by the first kind that accepts all their values."""
    accepted = ", ".join(f"bool_and(coalesce({kind.accepts}, false))" for kind in kinds)
    places: dict[Kind, list[int]] = defaultdict(list)
    for place, *fits in everything(database, f"SELECT place, {accepted} FROM fields GROUP BY place"):
        places[kinds[fits.index(True)]].append(place)
    return places


def count_values(database: duckdb.DuckDBPyConnection, kind: Kind, places: Iterable[int]) -> None:
    chosen = ", ".join(map(str, places))
    database.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE counts AS
        SELECT place, {kind.parse} AS value, count(*) AS n FROM fields WHERE place IN ({chosen}) GROUP BY ALL
        """
    )


def find_figures(database: duckdb.DuckDBPyConnection, kind: Kind) -> Rows:
    """Place, distinct values, values, smallest, largest and sum of each column."""
    return everything(
        database,
        f"""
        SELECT place, count(*), CAST(sum(n) AS BIGINT), {kind.show("min(value)")}, {kind.show("max(value)")},
            {kind.total} FROM counts GROUP BY place
        """,
    )


def find_tops(database: duckdb.DuckDBPyConnection, kind: Kind, top: int) -> dict[int, list[Frequency]]:
    found: dict[int, list[Frequency]] = defaultdict(list)
    for place, value, n in everything(
        database,
        f"""
        SELECT place, {kind.show("value")}, n FROM (
            SELECT place, value, n, row_number() OVER (PARTITION BY place ORDER BY n DESC, value) AS nth
            FROM counts
        ) WHERE nth <= {top} ORDER BY place, nth
        """,
    ):
        found[place].append(Frequency(value=value, count=n))
    return found


def find_quantiles(
    database: duckdb.DuckDBPyConnection, kind: Kind, quantiles: Sequence[float]
) -> dict[int, list[Quantile]]:
    found: dict[int, list[Quantile]] = defaultdict(list)
    if not kind.ordered or not quantiles:
        return found
    counts = everything(database, "SELECT place, CAST(sum(n) AS BIGINT) FROM counts GROUP BY place")
    ranks = [(place, number, rank(at, n)) for place, n in counts for number, at in enumerate(quantiles)]
    for place, number, value in everything(
        database,
        f"""
        SELECT place, number, {kind.show("min(value)")} FROM (VALUES {", ".join(map(str, ranks))})
            AS wanted(place, number, rank) JOIN (
            SELECT place, value, sum(n) OVER (PARTITION BY place ORDER BY value ROWS UNBOUNDED PRECEDING)
                AS reached FROM counts
        ) USING (place) WHERE reached >= rank GROUP BY place, number ORDER BY place, number
        """,
    ):
        found[place].append(Quantile(at=quantiles[number], value=value))
    return found


def everything(database: duckdb.DuckDBPyConnection, query: str) -> Rows:
    return database.execute(query).fetchall()
