"""A reference for `csv_profile`: the same figures from Python's csv, Counter and sorted, column by column."""

import csv
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

NUMBER = re.compile(r"[+-]?((0|[1-9][0-9]{0,17})(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
MOMENT = re.compile(
    r"[0-9]{4}(-[0-9]{2}){2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
SHOWN = 200
Column = dict[str, Any]


def profile_columns(
    path: Path, *, delimiter: str = ",", top: int = 5, quantiles: tuple[float, ...] = (0.25, 0.5, 0.75)
) -> Iterator[Column]:
    """The figures of each column of a file with a header."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file, delimiter=delimiter))
    for place, name in enumerate(names):
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = islice(csv.reader(file, delimiter=delimiter), 1, None)
            fields = Counter(row[place] if row else "" for row in rows if row or len(names) == 1)
        nulls = fields.pop("", 0)
        yield {"name": name, "nulls": nulls, **profile_values(fields, top, quantiles)}


def profile_values(fields: Counter[str], top: int, quantiles: tuple[float, ...]) -> Column:
    kind, parse, show = find_kind(fields)
    values: Counter[Any] = Counter()
    for field, count in fields.items():
        values[parse(field)] += count
    ordered, count = sorted(values), values.total()
    most = sorted(values.items(), key=lambda item: (-item[1], item[0]))[:top]
    return {
        "type": kind,
        "count": count,
        "distinct": len(values),
        "min": show(ordered[0]) if ordered else None,
        "max": show(ordered[-1]) if ordered else None,
        "mean": find_mean(kind, values),
        "quantiles": []
        if kind in ("text", "boolean")
        else [{"at": at, "value": show(find_quantile(ordered, values, at))} for at in quantiles],
        "top": [{"value": show(value), "count": count} for value, count in most],
    }


def find_kind(fields: Counter[str]) -> tuple[str, Callable[[str], Any], Callable[[Any], Any]]:
    """The narrowest type of all fields, its parser, and the function that shows a value."""
    candidates: list[tuple[str, Callable[[str], Any], Callable[[Any], Any]]] = [
        ("boolean", to_boolean, bool),
        ("integer", to_integer, int),
        ("float", to_float, float),
        ("date", to_date, str),
        ("timestamp", to_naive, lambda moment: show_moment(moment)),
        ("timestamp", to_utc, lambda moment: show_moment(moment) + "Z"),
    ]
    for kind in candidates:
        try:
            for field in fields:
                kind[1](field)
        except ValueError:
            continue
        if fields:
            return kind
    return "text", str, lambda text: text if len(text) <= SHOWN else text[:SHOWN] + "…"


def to_boolean(field: str) -> bool:
    if field.lower() not in ("true", "false"):
        raise ValueError(field)
    return field.lower() == "true"


def to_integer(field: str) -> int:
    value = int(field)
    if str(value) != field or not -(2**63) <= value < 2**63:
        raise ValueError(field)
    return value


def to_float(field: str) -> float:
    if not NUMBER.fullmatch(field) or not math.isfinite(float(field)):
        raise ValueError(field)
    return float(field)


def to_date(field: str) -> date:
    if len(field) != 10:
        raise ValueError(field)
    return date.fromisoformat(field)


def to_moment(field: str) -> datetime:
    if not MOMENT.fullmatch(field):
        raise ValueError(field)
    whole, dot, rest = field.partition(".")
    digits = re.match("[0-9]*", rest)[0] if dot else ""  # type: ignore[index]
    return datetime.fromisoformat(f"{whole}{dot}{digits.ljust(6, '0') if dot else ''}{rest[len(digits) :]}")


def to_naive(field: str) -> datetime:
    moment = to_moment(field)
    if moment.tzinfo:
        raise ValueError(field)
    return moment


def to_utc(field: str) -> datetime:
    moment = to_moment(field)
    if not moment.tzinfo:
        raise ValueError(field)
    return moment.astimezone(UTC).replace(tzinfo=None)


def show_moment(moment: datetime) -> str:
    return moment.isoformat().rstrip("0") if moment.microsecond else moment.isoformat()


def find_mean(kind: str, values: Counter[Any]) -> float | None:
    if not values or kind not in ("integer", "float"):
        return None
    mean = sum(Fraction(value) * count for value, count in values.items()) / values.total()
    return float(mean) if kind == "integer" else float(f"{float(mean):.12g}")


def find_quantile(ordered: list[Any], values: Counter[Any], at: float) -> Any:
    rank = max(1, math.ceil(Decimal(repr(at)) * values.total()))
    for value in ordered:
        rank -= values[value]
        if rank <= 0:
            break
    return value
