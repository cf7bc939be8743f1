"""What the values of a CSV column may be, in SQL on `v`, a field's text.

The patterns are narrower than what DuckDB takes for a number or a date: 007 is no 7, and 1_000 no number.
"""

from dataclasses import dataclass

from shared.contracts.csv_profile import MOST_CHARACTERS, ColumnType

NUMBER = r"[+-]?((0|[1-9]\d{0,17})(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?"
MOMENT = r"\d{4}-\d\d-\d\d[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?"
OFFSET = r"(Z|[+-]([01]\d|2[0-3]):?[0-5]\d)"
ISO = "replace(CAST({0} AS VARCHAR), ' ', 'T')"


@dataclass(frozen=True, slots=True)
class Kind:
    """A type that a column may be of.

    Attributes:
        type: its name.
        accepts: whether a text is a value of it; true, false or null, which is no.
        parse: the value of such a text.
        form: how a value is shown, with {0} in place of it.
        numeric: whether there is a mean.
        ordered: whether quantiles mean something.
    """

    type: ColumnType
    accepts: str
    parse: str
    form: str = "{0}"
    numeric: bool = False
    ordered: bool = False

    def show(self, value: str) -> str:
        """The SQL that shows what the SQL `value` comes to."""
        return self.form.format(value)


TEXT = Kind(
    "text",
    accepts="true",
    parse="v",
    form=f"CASE WHEN length({{0}}) <= {MOST_CHARACTERS} THEN {{0}}"
    f" ELSE left({{0}}, {MOST_CHARACTERS}) || '…' END",
)

KINDS = (
    Kind("boolean", accepts="lower(v) IN ('true', 'false')", parse="lower(v) = 'true'"),
    Kind(
        "integer",
        accepts="CAST(TRY_CAST(v AS BIGINT) AS VARCHAR) = v",
        parse="CAST(v AS BIGINT)",
        numeric=True,
        ordered=True,
    ),
    Kind(
        "float",
        accepts=f"regexp_full_match(v, '{NUMBER}') AND isfinite(TRY_CAST(v AS DOUBLE))",
        parse="CAST(v AS DOUBLE)",
        numeric=True,
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
"""The narrowest first; all values of a column are of the first kind that accepts each of them."""
