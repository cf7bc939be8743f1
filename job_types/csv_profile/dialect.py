"""Detection of a CSV file's dialect from the beginning of the file."""

import codecs
import csv
import re
from collections.abc import Iterator
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from job_types.csv_profile.column_kinds import number_shape
from job_types.csv_profile.contract import MAX_CHARACTERS, MAX_COLUMNS, CsvProfileParams, NumberFormat
from job_types.csv_profile.text import unreadable
from shared.errors import FinalError

DELIMITERS: tuple[str, ...] = (",", ";", "\t", "|", ":")
MAX_RECORD_BYTES = 1 << 20
SAMPLE_BYTES = 2 * MAX_RECORD_BYTES
SAMPLE_RECORDS = 200
NUMBER_OR_DATE = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|\d{4}-\d\d-\d\d.*", re.ASCII | re.IGNORECASE
)
DECIMAL_COMMA = re.compile(r"[+-]?(0|[1-9]\d*),\d+", re.ASCII)
WHOLE = re.compile(  # values that a wrong delimiter would split
    r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|true|false|"
    r"(\d{4}-\d\d-\d\d|\d\d?[./]\d\d?[./]\d{2,4})?"
    r"([T ]?\d\d?:\d\d(:\d\d([.,]\d+)?)? ?(Z|[ap]m|[+-]\d\d:?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)
TORN = re.compile(
    r'\d{4}-\d\d-\d\d[T ]\d\d|[^"]*"|"[^"]*', re.ASCII
)  # half of a time, or of a field in quotes
SEPARATED = re.compile(r"[,;\t|](?! )")  # several values; a comma of prose has a space behind it

Record = list[str]


class Dialect(NamedTuple):
    """Dialect of a CSV file.

    Attributes:
        delimiter: the character between two fields.
        header: whether the first record names the columns.
        names: the names of the columns; no two are the same.
        blank: the number of blank lines before the first record.
    """

    delimiter: str
    header: bool
    names: list[str]
    blank: int


def find_dialect(path: Path, params: CsvProfileParams) -> Dialect:
    """Detect the dialect of a file, as far as the params leave it open.

    Raises:
        FinalError: the file has no columns, or too many.
    """
    text = read_sample(path)
    delimiter: str = params.delimiter or max(DELIMITERS, key=lambda delimiter: fit(text, delimiter))
    first = next(records(text, delimiter), None)
    if first is None:
        raise unreadable("The file is empty.", "Upload a CSV file with a header or a row at least.")
    if len(first) > MAX_COLUMNS:
        raise FinalError(
            f"The file has {len(first):,} columns; {MAX_COLUMNS:,} are allowed.",
            code="too_many_columns",
            hint="Split it by columns; or name its delimiter, if it is another one.",
        )
    header = names_columns(first, delimiter, params.numbers) if params.header is None else params.header
    blank = len(text[: len(text) - len(text.lstrip("\r\n"))].splitlines())
    return Dialect(delimiter, header, distinct_names(first if header else [""] * len(first)), blank)


def read_sample(path: Path) -> str:
    """Read the beginning of the file, without a byte-order mark."""
    with path.open("rb") as file:
        data = file.read(SAMPLE_BYTES)
        whole = not file.read(1)
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(data, final=whole)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise unreadable(
            f"Line {line} is not UTF-8.", "Save the file as UTF-8, and upload it again."
        ) from None


def records(text: str, delimiter: str) -> Iterator[Record]:
    """The records of a text without its blank lines; the last record may be cut."""
    csv.field_size_limit(SAMPLE_BYTES)
    return filter(None, csv.reader(StringIO(text, newline=""), delimiter=delimiter))


def read_records(path: Path, delimiter: str) -> Iterator[Record]:
    """All records of a file in UTF-8; a blank line is an empty record."""
    csv.field_size_limit(SAMPLE_BYTES)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        yield from csv.reader(file, delimiter=delimiter)


def fit(text: str, delimiter: str) -> tuple[float, int]:
    """Rate a delimiter by the share of whole fields in records of one width, then by the width."""
    sample = list(islice(records(text, delimiter), SAMPLE_RECORDS))
    width = len(sample[0]) if sample else 0
    if width < 2:
        return (0, 0)
    alike = [record for record in sample if len(record) == width]
    fields = [field for record in alike for field in record]
    whole = sum(is_whole(field, delimiter) for field in fields) / len(fields)
    return (round(len(alike) / len(sample) * whole, 6), width)


def is_whole(field: str, delimiter: str) -> bool:
    """Whether a field is one whole value: neither a part of a value nor several values."""
    field = field.strip()
    if WHOLE.fullmatch(field) or (delimiter not in ",:" and DECIMAL_COMMA.fullmatch(field)):
        return True
    return not TORN.fullmatch(field) and not SEPARATED.search(field.replace(delimiter, ""))


def names_columns(record: Record, delimiter: str, numbers: NumberFormat) -> bool:
    """Whether a first record is a header: at least one name, and no number, date or timestamp."""
    shape = re.compile(number_shape(numbers), re.ASCII)
    return any(record) and not any(
        NUMBER_OR_DATE.fullmatch(field.strip())
        or shape.fullmatch(field.strip())
        or (delimiter != "," and DECIMAL_COMMA.fullmatch(field.strip()))
        for field in record
    )


def distinct_names(fields: Record) -> list[str]:
    """The names of the columns: numbers tell empty and equal names apart."""
    names: dict[str, None] = {}
    for place, field in enumerate(fields, start=1):
        name = wanted = field[:MAX_CHARACTERS] or f"column_{place}"
        again = 2
        while name in names:
            name, again = f"{wanted}_{again}", again + 1
        names[name] = None
    return list(names)
