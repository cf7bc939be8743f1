"""Kinds of values that a CSV column may have, in SQL on `v`, a field's text.

The patterns are narrower than DuckDB's own for numbers and dates: 007 is no 7, and 1_000 no number.
"""

import math
from dataclasses import dataclass, replace
from decimal import Decimal

from job_types.csv_profile.contract import MAX_CHARACTERS, ColumnType, NumberFormat

NUMBER = r"[+-]?((0|[1-9]\d{0,17})(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?"
MOMENT = r"\d{4}-\d\d-\d\d[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?"
OFFSET = r"(Z|[+-]([01]\d|2[0-3]):?[0-5]\d)"
FLOAT_DIGITS = 12  # of a mean; further digits depend on the order in which threads add
NO_TOTAL = "max(NULL)"
PLAIN: NumberFormat = "1234.5"
SPACES = " \u00a0\u202f"
APOSTROPHES = "'’"
MARKS: dict[NumberFormat, tuple[str, str]] = {
    PLAIN: (".", ""),
    "1,234.5": (".", ","),
    "1 234.5": (".", SPACES),
    "1'234.5": (".", APOSTROPHES),
    "1234,5": (",", ""),
    "1.234,5": (",", "."),
    "1 234,5": (",", SPACES),
}
"""The decimal mark and the thousands marks of each format."""
ISO = "replace(CAST({0} AS VARCHAR), ' ', 'T')"


@dataclass(frozen=True, slots=True)
class Kind:
    """Kind of the values of a column, as expressions of SQL.

    Attributes:
        type: the name of the column's type.
        accepts: whether the text `v` is a value of this kind: true, false, or null for false.
        parse: the value of such a text.
        form: the value as the result shows it, with {0} in place of the value.
        total: the sum of the values of the table `counts`; NULL for a kind without a mean.
        ordered: whether the kind has quantiles.
    """

    type: ColumnType
    accepts: str
    parse: str
    form: str = "{0}"
    total: str = NO_TOTAL
    ordered: bool = False

    def show(self, value: str) -> str:
        """The expression for a value as the result shows it."""
        return self.form.format(value)

    def mean(self, total: float | None, count: int) -> float | None:
        """The mean of `count` values from their sum; None for a kind without a mean, or beyond a double."""
        if total is None or self.type == "integer":
            return None if total is None else total / count
        mean = total / count
        return float(f"{mean:.{FLOAT_DIGITS}g}") if math.isfinite(mean) else None


TEXT = Kind(
    "text",
    accepts="true",
    parse="v",
    form=f"CASE WHEN length({{0}}) <= {MAX_CHARACTERS} THEN {{0}}"
    f" ELSE left({{0}}, {MAX_CHARACTERS}) || '…' END",
)

KINDS = (
    Kind("boolean", accepts="lower(v) IN ('true', 'false')", parse="lower(v) = 'true'"),
    Kind(
        "integer",
        accepts="CAST(TRY_CAST(v AS BIGINT) AS VARCHAR) = v",
        parse="CAST(v AS BIGINT)",
        total="sum(CAST(value AS HUGEINT) * n)",
        ordered=True,
    ),
    Kind(
        "float",
        accepts=f"regexp_full_match(v, '{NUMBER}') AND isfinite(TRY_CAST(v AS DOUBLE))",
        parse="CAST(v AS DOUBLE)",
        total="fsum(value * n)",
        ordered=True,
    ),
    Kind(
        "date",
        accepts="length(v) = 10 AND CAST(TRY_CAST(v AS DATE) AS VARCHAR) = v",
        parse="CAST(v AS DATE)",
        form="CAST({0} AS VARCHAR)",
        ordered=True,
    ),
    Kind(
        "timestamp",
        accepts=f"regexp_full_match(v, '{MOMENT}') AND TRY_CAST(v AS TIMESTAMP) >= TIMESTAMP '0001-01-01'",
        parse="CAST(v AS TIMESTAMP)",
        form=ISO,
        ordered=True,
    ),
    Kind(
        "timestamp",
        accepts=f"regexp_full_match(v, '{MOMENT}{OFFSET}') AND TRY_CAST(v AS TIMESTAMP) BETWEEN "
        "TIMESTAMP '0001-01-02' AND TIMESTAMP '9999-12-30'",  # in UTC it has four digits too
        parse="make_timestamp(epoch_us(CAST(v AS TIMESTAMPTZ)))",
        form=f"{ISO} || 'Z'",
        ordered=True,
    ),
    TEXT,
)
"""All kinds, the narrowest first. A column is of the first kind that accepts all its values."""


def kinds_for(numbers: NumberFormat) -> tuple[Kind, ...]:
    """The kinds for a file with this format of numbers."""
    if numbers == PLAIN:
        return KINDS
    decimal, thousands = MARKS[numbers]
    plain = f"translate(v, '{quoted(decimal + thousands)}', '.')"
    shape = f"regexp_full_match(v, '{quoted(number_shape(numbers))}')"

    def rewritten(kind: Kind) -> Kind:
        accepts = kind.accepts.replace("(v", f"({plain}").replace("= v", f"= {plain}")
        return replace(kind, accepts=f"{shape} AND {accepts}", parse=kind.parse.replace("(v", f"({plain}"))

    return tuple(rewritten(kind) if kind.total != NO_TOTAL else kind for kind in KINDS)


def number_shape(numbers: NumberFormat) -> str:
    """The pattern of a number in this format: thousands marks are optional, and stand every three digits."""
    decimal, thousands = MARKS[numbers]
    whole = rf"(\d{{1,3}}([{thousands}]\d{{3}})+|\d+)" if thousands else r"\d+"
    return rf"[+-]?({whole}([{decimal}]\d*)?|[{decimal}]\d+)([eE][+-]?\d{{1,3}})?"


def quoted(text: str) -> str:
    """The text, escaped for quotes of SQL."""
    return text.replace("'", "''")


def rank(at: float, count: int) -> int:
    """The rank, from 1, of the quantile `at` among `count` values in order."""
    return max(1, math.ceil(Decimal(repr(at)) * count))
