"""Bodies of requests, validated by a model."""

from collections.abc import Sequence
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from api.new_jobs import require_json
from api.strict_json import parse
from shared.errors import InvalidRequest

M = TypeVar("M", bound=BaseModel)


async def read_body(request: Request, model: type[M]) -> M:
    """The JSON body of a request.

    Raises:
        InvalidRequest: it does not fit the model, or `parse` refuses it; with the place of each fault.
        MalformedJson, UnsupportedMediaType: it is no JSON.
    """
    require_json(request)
    return validated(model, parse(await request.body()))


def validated(model: type[M], value: object) -> M:
    """The value as the model. Raises InvalidRequest, with the place of each fault."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        details = [
            {"path": _path(value, fault["loc"]), "message": fault["msg"], "kind": fault["type"]}
            for fault in error.errors(include_url=False, include_input=False)
        ]
        raise InvalidRequest("The request is not valid.", details=details) from None


def _path(value: Any, places: Sequence[int | str]) -> str:
    """The path of a fault within the value, without the names of a union's members."""
    path: list[str] = []
    for place in places:
        if isinstance(value, dict) and (place in value or place == places[-1]):
            value = value.get(place)
        elif isinstance(value, list) and isinstance(place, int):
            value = value[place]
        else:
            continue
        path.append(str(place))
    return ".".join(path)
