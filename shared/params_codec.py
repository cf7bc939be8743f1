"""Codec of a job's params: the stored form for the handler, and the form that clients see."""

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, NamedTuple

from pydantic import BaseModel, Secret, SecretBytes, SecretStr, ValidationError
from pydantic_core import PydanticSerializationError, SchemaSerializer

SECRETS = (Secret, SecretStr, SecretBytes)
NESTED = ("fields", "choices")  # mappings of names or tags to schemas; a name may equal any key of a schema
VALUES = ("metadata", "cls", "config", "default", "expected", "members", "discriminator", "validation_alias")
PLAIN_CONFIG = {"title", "extra_fields_behavior", "hide_input_in_errors"}
PLAIN_NODES = {"model", "model-fields", "model-field", "definitions", "definition-ref", "default", "nullable"}
PLAIN_NODES |= {"none", "bool", "int", "float", "str", "literal", "list", "dict"}
LOSSY = {"serialization", "serialization_alias", "serialization_exclude", "serialization_exclude_if"}
LOSSY |= {"validation_alias", "post_init", "default_factory", "strip_whitespace", "to_lower", "to_upper"}
Schema = dict[str, Any]


class EncodedParams(NamedTuple):
    """The params of a job, JSON.

    Attributes:
        stored: for the handler: every field by its name, secrets in clear.
        shown: for clients, secrets as asterisks; empty if it does not differ.
    """

    stored: bytes
    shown: bytes


class ParamsNotKept(ValueError):
    """Params that the handler would not get as they were validated.

    Attributes:
        field: the name of the field that is lost or changed; empty if unknown.
    """

    def __init__(self, field: str) -> None:
        super().__init__(f"the field {field!r} does not survive the way to the worker")
        self.field = field


class ParamsCodec:
    """Codec of the params of one job type.

    Stored params name each field by its own name, so that aliases, which may differ for reading and for
    writing, play no part. A model of plain fields is known to survive. Params of any other model are decoded
    once when they are encoded, and compared.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model
        self._validate = model.__pydantic_validator__.validate_json
        schema: Any = model.__pydantic_core_schema__
        self._stored = model.__pydantic_serializer__
        self._shown: SchemaSerializer | None = None
        if not _is_plain(schema):
            definitions = {node["ref"]: node for node in _nodes(schema) if "ref" in node}
            self._stored = SchemaSerializer(_rebuilt(schema, definitions, stored=True))
            self._shown = SchemaSerializer(_rebuilt(schema, definitions, stored=False))

    def encode(self, params: BaseModel) -> EncodedParams:
        """Encode both forms of the params. Raises ParamsNotKept."""
        if self._shown is None:
            return EncodedParams(self._stored.to_json(params, by_alias=False), b"")
        try:
            stored = self._stored.to_json(params, by_alias=False, round_trip=True, warnings=False)
            shown = self._shown.to_json(params, by_alias=True, warnings=False)
            kept = self.decode(stored)
        except ValidationError as error:
            raise ParamsNotKept(str(next(iter(error.errors()[0]["loc"]), ""))) from None
        except PydanticSerializationError:
            raise ParamsNotKept(self._unwritable(params)) from None
        for name in self._model.model_fields:
            if not _same(getattr(params, name), getattr(kept, name)):
                raise ParamsNotKept(name)
        return EncodedParams(stored, b"" if shown == stored else shown)

    def decode(self, stored: bytes) -> BaseModel:
        """Decode the params for the handler. Raises pydantic.ValidationError."""
        params: BaseModel = self._validate(stored, by_alias=False, by_name=True)
        return params

    def _unwritable(self, params: BaseModel) -> str:
        for name in self._model.model_fields:
            try:
                self._stored.to_json(params, by_alias=False, round_trip=True, include={name}, warnings=False)
            except PydanticSerializationError:
                return name
        return ""


def _same(before: Any, after: Any) -> bool:
    """Whether a value is unchanged; `==` fails for NaN and for models with private attributes."""
    if before == after:
        return True
    if type(before) is not type(after):
        return False
    if isinstance(before, BaseModel):
        return all(_same(getattr(before, name), getattr(after, name)) for name in type(before).model_fields)
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(_same(before[key], after[key]) for key in before)
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(_same, before, after))
    return bool(before != before and after != after)  # NaN


def _children(node: Schema) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in node.items() if key not in VALUES)


def _nodes(part: Any) -> Iterator[Schema]:
    """Every schema within a part of a schema, itself included; references are not followed."""
    if isinstance(part, list | tuple):
        for item in part:
            yield from _nodes(item)
    elif isinstance(part, dict):
        yield part
        for key, value in _children(part):
            yield from _nodes([*value.values()] if _is_nested(key, value) else value)


def _is_nested(key: str, value: object) -> bool:
    return key in NESTED and isinstance(value, dict)


def _is_plain(schema: Schema) -> bool:
    """Whether the schema consists only of parts that are known to keep all params."""
    return all(_is_json_value(node) or _is_plain_node(node) for node in _nodes(_without_json_values(schema)))


def _is_json_value(node: Schema) -> bool:
    return str(node.get("ref", "")).startswith("pydantic.types.JsonValue:")


def _without_json_values(schema: Schema) -> Any:
    """The schema without the definition of pydantic.JsonValue, which is plain."""
    if schema.get("type") != "definitions":
        return schema
    return {**schema, "definitions": [d for d in schema["definitions"] if not _is_json_value(d)]}


def _is_plain_node(node: Schema) -> bool:
    config: Mapping[str, Any] = node.get("config") or {}
    return (
        node.get("type") in PLAIN_NODES
        and not any(node.get(key) for key in LOSSY)
        and not (node.get("computed_fields") or node.get("custom_init") or node.get("root_model"))
        and config.keys() <= PLAIN_CONFIG
        and config.get("extra_fields_behavior") != "allow"
        and (node["type"] != "literal" or all(type(value) in (str, int, bool) for value in node["expected"]))
        and (node["type"] != "dict" or node.get("keys_schema", {}).get("type") == "str")
        and _is_plain_default(node.get("default"))
    )


def _is_plain_default(value: object) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    return value is None or type(value) in (str, int, bool) or value in ([], {})


def _rebuilt(part: Any, definitions: Mapping[str, Schema], *, stored: bool) -> Any:
    """The schema with serializers that write secrets by the rules of this module.

    The stored form reveals secrets, and leaves out no field.
    """
    if isinstance(part, list | tuple):
        return type(part)(_rebuilt(item, definitions, stored=stored) for item in part)
    if not isinstance(part, dict):
        return part
    node = {key: part[key] for key in VALUES if key in part}
    for key, value in _children(part):
        if _is_nested(key, value):
            node[key] = {name: _rebuilt(item, definitions, stored=stored) for name, item in value.items()}
        else:
            node[key] = _rebuilt(value, definitions, stored=stored)
    if stored:
        node.pop("serialization_exclude", None)
        node.pop("serialization_exclude_if", None)
    if "serialization" in node:
        if _is_secret(part):
            node["serialization"] = (
                {"type": "function-plain", "function": _reveal} if stored else part["serialization"]
            )
        elif _holds_secret(part, definitions, set()):
            del node["serialization"]  # a serializer of the model's author may write the secret, or drop it
    if node.get("type") in ("model", "dataclass"):
        node["cls"] = _stand_in(part["cls"])
        if stored:
            node["config"] = {**(part.get("config") or {}), "ser_json_inf_nan": "strings"}
    return node


def _stand_in(kind: type) -> type:
    """A class with the instances of `kind`; for `kind` itself pydantic-core has a serializer already."""
    meta = type("StandIn", (type,), {"__instancecheck__": lambda _, value: isinstance(value, kind)})
    stand_in: type = meta(kind.__name__, (), {})
    return stand_in


def _is_secret(node: Schema) -> bool:
    function = (node.get("serialization") or {}).get("function")
    name = getattr(function, "__name__", "")
    return getattr(function, "__module__", "") == "pydantic.types" and name.startswith("_serialize_secret")


def _holds_secret(node: Schema, definitions: Mapping[str, Schema], seen: set[str]) -> bool:
    for inner in _nodes(node):
        if _is_secret(inner):
            return True
        reference = str(inner.get("schema_ref"))
        if reference in definitions and reference not in seen:
            seen.add(reference)
            if _holds_secret(definitions[reference], definitions, seen):
                return True
    return False


def _reveal(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SECRETS) else value
