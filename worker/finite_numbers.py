"""Check of a result's numbers: JSON lacks NaN and the infinities."""

import json
import math
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

SEQUENCES = (list, tuple, set, frozenset, deque)


def require_finite(result: Any) -> None:
    """Raise ValueError with the place of the first number that is NaN or infinite."""
    try:
        json.dumps(result, allow_nan=False, skipkeys=True, default=_plain)
    except ValueError:
        for place, number in _numbers(result, "result"):
            if not math.isfinite(number):
                raise ValueError(f"{place} is {number}, which JSON lacks.") from None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, SEQUENCES) else repr(value)


def _numbers(value: Any, place: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield place, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _numbers(inner, f"{place}.{name}")
    elif isinstance(value, SEQUENCES):
        for number, inner in enumerate(value):
            yield from _numbers(inner, f"{place}.{number}")
