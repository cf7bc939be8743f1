"""The job type `csv_profile`: exact figures of the columns of an uploaded CSV file."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from shared.job_type import Backoff, FileReference, JobType, Params

MAX_COLUMNS = 1000
MAX_CHARACTERS = 200

ColumnType = Literal["integer", "float", "boolean", "date", "timestamp", "text"]
Value = bool | int | float | str


Encoding = Literal[
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32",
    "iso-8859-1", "iso-8859-2", "iso-8859-15", "windows-1250", "windows-1251", "windows-1252", "koi8-r",
    "mac-roman", "shift_jis", "euc-jp", "euc-kr", "gb18030", "big5",
]  # fmt: skip
NumberFormat = Literal["1234.5", "1,234.5", "1 234.5", "1'234.5", "1234,5", "1.234,5", "1 234,5"]


class CsvProfileParams(Params):
    file: Annotated[
        FileReference,
        Field(description=f"CSV as in RFC 4180, of up to {MAX_COLUMNS:,} columns, in UTF-8 or `encoding`."),
    ]
    delimiter: Annotated[
        Literal[",", ";", "\t", "|", ":"] | None,
        Field(description="The delimiter of the fields; null: detected."),
    ] = None
    header: Annotated[
        bool | None,
        Field(
            description="Whether the first row names the columns; null: it does if no field of it is a "
            "number, a date or a timestamp."
        ),
    ] = None
    encoding: Annotated[Encoding, Field(description="The file's encoding. It is never guessed.")] = "utf-8"
    nulls: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=64)], ...],
        Field(
            max_length=50,
            description="Fields that are nulls besides empty ones, such as `NA`; compared exactly.",
        ),
    ] = ()
    numbers: Annotated[
        NumberFormat,
        Field(
            description="How numbers are written: the marks of thousands, which may be left out, and of "
            "decimals. A field that is written otherwise is text. The space stands for a no-break space too."
        ),
    ] = "1234.5"
    top: Annotated[int, Field(ge=1, le=50, description="How many of the most frequent values to name.")] = 5
    quantiles: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1)], ...],
        Field(
            max_length=20,
            description="Which quantiles: 0.5 is the smallest value that half of all values do not exceed.",
        ),
    ] = (0.25, 0.5, 0.75)


class Quantile(BaseModel):
    at: float
    value: Value


class Frequency(BaseModel):
    value: Value
    count: int


class ColumnProfile(BaseModel):
    """Figures of a column. Empty fields are nulls, and count nowhere else.

    The type is that of all values: `integer` (64 bits, written the usual way: no leading zeros, no plus
    sign), `float`, `boolean` (true or false), `date` (2026-12-24), `timestamp` (ISO 8601, all with an offset,
    and then shown in UTC, or none), or else `text`. Values are equal if they are so as that type, as 1.5 and
    1.50. Text is ordered by code point, and shown up to 200 characters, or fewer if the result would be too
    large.
    """

    name: str
    type: ColumnType
    count: Annotated[int, Field(description="Values that are not null.")]
    nulls: int
    distinct: Annotated[int, Field(description="Different values.")]
    min: Value | None
    max: Value | None
    mean: Annotated[
        float | None,
        Field(
            description="Of numbers, else null; of floats to 12 digits. Null if it is too large for a double."
        ),
    ]
    quantiles: Annotated[list[Quantile], Field(description="Of numbers, dates and timestamps.")]
    top: Annotated[list[Frequency], Field(description="Most frequent first; if equally so, the smallest.")]


class CsvProfileResult(BaseModel):
    rows: Annotated[int, Field(description="Without the header.")]
    delimiter: str
    header: bool
    columns: list[ColumnProfile]


CSV_PROFILE = JobType(
    name="csv_profile",
    summary="Profile the columns of a CSV file: types, nulls, distinct values, extremes, quantiles and more.",
    params=CsvProfileParams,
    result=CsvProfileResult,
    example={"file": "file_019ab1c27d107c4e9a553f5b8f0e6d21", "top": 3},
    timeout=3600,
    max_attempts=3,
    backoff=Backoff(first=5),
)
