"""What `POST /jobs` accepts: a union of the job types, told apart by `type`."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
)

from shared.contract import Contract, Params
from shared.errors import InvalidRequest, UnknownJobType


class Submission(BaseModel):
    """A job to be done."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str
    params: Params


class Submissions:
    """Validates submissions against the contracts, and describes them to OpenAPI."""

    def __init__(self, contracts: Mapping[str, Contract[Any, Any]]) -> None:
        self._types = list(contracts)
        models = [_model(contract) for contract in contracts.values()]
        union: Any = reduce(or_, models)
        if len(models) > 1:
            union = Annotated[union, Field(discriminator="type")]
        self._adapter: TypeAdapter[Submission] = TypeAdapter(union)

    def validate(self, value: Any) -> Submission:
        """A parsed body as a submission.

        Raises:
            UnknownJobType: no contract has this `type`.
            InvalidRequest: anything else is wrong; the details say what.
        """
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
        if faults[0]["type"] == "union_tag_invalid":
            raise UnknownJobType(
                f"There is no job type {str(value['type'])[:64]!r}.",
                hint=f"The job types are {', '.join(self._types)}; GET /job-types describes them.",
            )
        details = [_detail(fault, value) for fault in faults[:20]]
        raise InvalidRequest("The request does not fit the job type.", details=details)

    def json_schema(self) -> dict[str, Any]:
        """The schema of a submission, its definitions under `$defs`."""
        return self._adapter.json_schema(ref_template="#/components/schemas/{model}")


def _model(contract: Contract[Any, Any]) -> type[Submission]:
    name = "".join(part.capitalize() for part in contract.name.split("_"))
    return create_model(
        f"{name}Job",
        __base__=Submission,
        __doc__=contract.summary,
        type=(Literal[contract.name], ...),  # type: ignore[arg-type]
        params=(contract.params, ...),
    )


def _detail(fault: Any, value: Any) -> dict[str, Any]:
    """One fault; its place in the body does not name the branch of the union that pydantic took."""
    place = fault["loc"]
    if place and isinstance(value, dict) and place[0] == value.get("type"):
        place = place[1:]
    if fault["type"] == "union_tag_not_found":
        place, message = ("type",), "Field required"
    else:
        message = fault["msg"]
    return {"path": ".".join(map(str, place))[:200], "message": message[:500], "kind": fault["type"]}
