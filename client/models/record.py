"""Reader of the models: from JSON objects of the server to dataclasses; times as it sends and takes them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = Mapping[str, Any]
T = TypeVar("T")
Model = TypeVar("Model", bound="DataclassInstance")

RECEIPT_FIELDS = {"job_id", "state", "done"}
"""Fields of every record that a key without a scope to read gets."""


time_of = datetime.fromisoformat


def read(model: type[Model], record: Record, **readers: Callable[[Any], Any]) -> Model:
    """Make a model from the fields of a record, which have the names of its own; `raw` is the whole record.

    A field with a default may be missing, as in the records of older servers.

    Args:
        model: the class, a dataclass.
        record: the JSON object.
        readers: make the values of the fields with their names.
    """
    values: dict[str, Any] = {}
    for field in fields(model):
        name = field.name
        if name == "raw":
            values[name] = record
        elif name in record or (field.default is MISSING and field.default_factory is MISSING):
            value = record[name]
            values[name] = readers[name](value) if name in readers else value
    return model(**values)


def optional(reader: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """Reader of a value that may be null."""
    return lambda value: None if value is None else reader(value)


def several(reader: Callable[[Any], T]) -> Callable[[Iterable[Any]], tuple[T, ...]]:
    """Reader of an array, by the reader of its values."""
    return lambda values: tuple(map(reader, values))


def time_text(name: str, time: datetime) -> str:
    """Render a time of a request.

    Raises:
        ValueError: the time has no zone.
    """
    if time.tzinfo is None:
        raise ValueError(f"{name} has no time zone; give it one, such as datetime.UTC.")
    return time.isoformat()
