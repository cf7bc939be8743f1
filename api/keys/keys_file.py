"""The keys file (`API_KEYS_FILE`): callers in TOML or JSON, each with scopes, digests, a rate and quotas."""

import dataclasses
import json
import re
import tomllib
from collections.abc import Iterable
from datetime import datetime
from math import inf
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
)

from api.keys.api_key import MAX_RATE, PARTS, READING, SECRET, WRITING, ApiKey, Digest, Scope
from api.quotas import Quotas

MAX_BYTES = 16 * 2**20  # bytes
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
FIELD = re.compile(r"[a-z_0-9]{1,24}")  # too short for a key or a digest
POSITION = re.compile(r"\(at (line \d+, column \d+|end of document)\)$")


def _read_time(value: object) -> object:
    """Read a time from text: JSON has no times, TOML has its own type."""
    if not isinstance(value, str):
        return value
    if not RFC_3339.fullmatch(value):
        raise ValueError("must be a time with its offset, as 2027-01-31T12:00:00Z")
    return datetime.fromisoformat(value.upper())


def _check_digest(digest: str) -> str:
    pattern, rule = PARTS["sha256"]
    if not re.fullmatch(pattern, digest):
        raise ValueError(f"must be {rule}")
    return digest


def _read_scopes(names: object) -> object:
    """Read scopes from their names; the strict validation takes no text for an enum."""
    if not isinstance(names, list):
        raise ValueError("must be a list of scopes")  # no TypeError: pydantic reports ValueError alone
    try:
        scopes = frozenset(map(Scope, names))
    except (TypeError, ValueError):
        raise ValueError(f"must be of {', '.join(Scope)}") from None
    if not scopes or max(len(scopes & READING), len(scopes & WRITING)) > 1 or len(scopes) != len(names):
        raise ValueError(
            "must hold one scope to read, one to write, admin, or several of these: read includes read:own"
        )
    return scopes


Time = Annotated[AwareDatetime, BeforeValidator(_read_time)]
Sha256 = Annotated[str, AfterValidator(_check_digest)]
STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class _ExpiringDigest(BaseModel):
    model_config = STRICT

    sha256: Sha256
    expires_at: Time | None = None


def _read_digest(value: object) -> object:
    return {"sha256": value} if isinstance(value, str) else value


def _check_quotas(fields: dict[str, int]) -> dict[str, int]:
    known = [field.name for field in dataclasses.fields(Quotas)]
    if not fields.keys() <= set(known):
        raise ValueError(f"may hold nothing but {', '.join(known)}")
    return fields


class _Caller(BaseModel):
    model_config = STRICT

    scopes: Annotated[frozenset[Scope], BeforeValidator(_read_scopes)]
    digests: Annotated[
        list[Annotated[_ExpiringDigest, BeforeValidator(_read_digest)]], Field(min_length=1, max_length=100)
    ]
    expires_at: Time | None = None
    rate: Annotated[int | None, Field(ge=0, le=MAX_RATE)] = None
    quotas: Annotated[dict[str, Annotated[int, Field(ge=0)]], AfterValidator(_check_quotas)] = {}

    def as_key(self, name: str) -> ApiKey:
        ends = [_seconds(self.expires_at), *(_seconds(digest.expires_at) for digest in self.digests)]
        digests = tuple(
            Digest(SecretStr(digest.sha256), min(ends[0], end))
            for digest, end in zip(self.digests, ends[1:], strict=True)
        )
        return ApiKey(name, self.scopes, digests, self.rate, Quotas(**self.quotas))


class _Document(BaseModel):
    model_config = STRICT

    keys: dict[str, _Caller]


DOCUMENT = TypeAdapter(_Document)


def read_keys_file(path: str) -> list[ApiKey]:
    """Read the keys of a keys file.

    Raises:
        ValueError: the file can't be read, or something in it is wrong. The message quotes no key, no digest
            and no text that may be a key.
    """
    document = _parse(path, _read_text(path))
    names = list(document["keys"]) if isinstance(document.get("keys"), dict) else []
    for number, name in enumerate(names, 1):
        pattern, rule = PARTS["name"]
        if not re.fullmatch(pattern, name):
            raise ValueError(f"the name of caller {number} must be {rule}")
        if SECRET.search(name):
            raise ValueError(f"the name of caller {number} looks like a key: name the caller instead")
    try:
        callers = DOCUMENT.validate_python(document).keys
    except ValidationError as error:
        raise ValueError(_first_fault(error)) from None
    return [caller.as_key(name) for name, caller in callers.items()]


def require_distinct(keys: Iterable[ApiKey]) -> None:
    """Require distinct names of callers and digests of keys. Raises ValueError."""
    names: set[str] = set()
    owners: dict[str, str] = {}
    for key in keys:
        if key.name in names:
            raise ValueError(f"the caller {key.name} is in API_KEYS too: keep one of the two")
        names.add(key.name)
        for digest in key.digests:
            text = digest.sha256.get_secret_value()
            if text in owners:
                raise ValueError(
                    f"a digest of {key.name} is listed before, for {owners[text]}: remove one of the two"
                )
            owners[text] = key.name


def _read_text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES} bytes: name a keys file")
        return content.decode()
    except OSError as error:
        raise ValueError(
            f"it can't be read ({error.strerror}): name a file that this process may read"
        ) from None
    except UnicodeDecodeError:
        raise ValueError("it is not text in UTF-8: save it as UTF-8") from None


def _parse(path: str, text: str) -> dict[str, Any]:
    """Parse the file's content. No error quotes a line of the file."""
    is_json = path.endswith(".json") or text.lstrip().startswith("{")
    try:
        found = json.loads(text, object_pairs_hook=_distinct) if is_json else tomllib.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not valid JSON (line {error.lineno}, column {error.colno})") from None
    except tomllib.TOMLDecodeError as error:
        position = POSITION.search(str(error))
        where = f" ({position[1]})" if position else ""
        raise ValueError(f"it is not valid TOML{where}; a text needs quotes, a name may come once") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError('it must be an object with one field, "keys"')
    return found


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a JSON object with a name twice: the second would replace the first in silence."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object holds the same name twice: keep one of the two")
    return found


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    *place, last = (str(part) for part in fault["loc"])
    where = ".".join([*place, last if FIELD.fullmatch(last) or len(place) == 1 else "…"])
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        message = "there is no such field: remove it, or correct its name"
    return f"{where}: {message}"


def _seconds(time: datetime | None) -> float:
    return inf if time is None else time.timestamp()
