"""How a CSV file is written, found by looking at its beginning."""

import codecs
import csv
import re
from collections.abc import Iterator
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from shared.contracts.csv_profile import MOST_CHARACTERS, MOST_COLUMNS, CsvProfileParams
from shared.errors import FinalError

DELIMITERS: tuple[str, ...] = (",", ";", "\t", "|", ":")
MOST_RECORD_BYTES = 1 << 20
SAMPLE_BYTES = 2 * MOST_RECORD_BYTES
SAMPLE_RECORDS = 200
NUMBER_OR_DATE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|\d{4}-\d\d-\d\d.*", re.ASCII | re.IGNORECASE)

Record = list[str]


class Dialect(NamedTuple):
    """Attributes:
    delimiter: what separates the fields.
    header: whether the first record names the columns.
    names: of the columns; no two are the same.
    blank: lines before the first record.
    """

    delimiter: str
    header: bool
    names: list[str]
    blank: int


def unreadable(message: str, hint: str) -> FinalError:
    return FinalError(message, code="unreadable_csv", hint=hint)


def find_dialect(path: Path, params: CsvProfileParams) -> Dialect:
    """What the params leave open, and the columns' names. FinalError if there are none, or too many."""
    text = read_sample(path)
    delimiter: str = params.delimiter or max(DELIMITERS, key=lambda delimiter: fit(text, delimiter))
    first = next(records(text, delimiter), None)
    if first is None:
        raise unreadable("The file is empty.", "Upload a CSV file with a header or a row at least.")
    if len(first) > MOST_COLUMNS:
        raise FinalError(
            f"The file has {len(first):,} columns; {MOST_COLUMNS:,} are allowed.",
            code="too_many_columns",
            hint="Split it by columns; or name its delimiter, if it is another one.",
        )
    header = names_columns(first) if params.header is None else params.header
    blank = len(text[: len(text) - len(text.lstrip("\r\n"))].splitlines())
    return Dialect(delimiter, header, distinct_names(first if header else [""] * len(first)), blank)


def read_sample(path: Path) -> str:
    """The file's beginning, without a byte-order mark."""
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
    """The records that the text holds, the last one maybe in part; blank lines are none."""
    csv.field_size_limit(SAMPLE_BYTES)
    return filter(None, csv.reader(StringIO(text, newline=""), delimiter=delimiter))


def fit(text: str, delimiter: str) -> tuple[int, int]:
    """How many records have as many fields as the first one, if it has several, and how many those are."""
    widths = [len(record) for record in islice(records(text, delimiter), SAMPLE_RECORDS)] or [0]
    return (widths.count(widths[0]), widths[0]) if widths[0] > 1 else (0, 0)


def names_columns(record: Record) -> bool:
    return any(record) and not any(NUMBER_OR_DATE.fullmatch(field.strip()) for field in record)


def distinct_names(fields: Record) -> list[str]:
    """The fields, those without a name and those of one name told apart by a number."""
    names: dict[str, None] = {}
    for place, field in enumerate(fields, start=1):
        name = wanted = field[:MOST_CHARACTERS] or f"column_{place}"
        again = 2
        while name in names:
            name, again = f"{wanted}_{again}", again + 1
        names[name] = None
    return list(names)
