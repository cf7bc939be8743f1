"""Params codec: handlers get params as they were validated, and secrets are never shown."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import orjson
import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    Field,
    PlainSerializer,
    PrivateAttr,
    Secret,
    SecretBytes,
    SecretStr,
    computed_field,
    field_serializer,
)
from pydantic.dataclasses import dataclass

from api.submission import Submissions
from shared.errors import InvalidRequest
from shared.job_type import FileReference, JobType, Params
from shared.job_type_loader import load_job_types
from shared.params_codec import ParamsNotKept

PASSWORD = "hunter2"


class Colour(Enum):
    RED = "red"


class Login(BaseModel):
    user: str = Field(alias="userName")
    password: SecretStr = Field(alias="passWord", exclude=True)


class Cat(BaseModel):
    kind: Literal["cat"] = Field(alias="petKind")
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = Field(alias="petKind")
    _cache: dict[str, int] = PrivateAttr(default_factory=dict)


@dataclass
class Point:
    x: float
    y: float = Field(default=0.0, exclude=True)


class Everything(Params):
    source: str = Field(alias="from")
    either: str = Field(validation_alias=AliasChoices("one", "other"), serialization_alias="third")
    first: int = Field(validation_alias=AliasPath("numbers", 0))
    hidden: int = Field(default=1, exclude=True)
    login: Login
    logins: dict[str, list[Login]]
    token: SecretBytes
    birthday: Secret[date]
    at: datetime
    pause: timedelta
    price: Decimal
    colour: Colour
    raw: bytes
    tags: set[str]
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    zero: float
    point: Point
    endless: float = float("inf")
    nothing: float = float("nan")
    made: UUID = Field(default_factory=uuid4)

    @computed_field
    @property
    def shout(self) -> str:
        return self.source.upper()


EVERYTHING: dict[str, Any] = {
    "from": "a",
    "other": "b",
    "numbers": [7],
    "hidden": 2,
    "login": {"userName": "ann", "passWord": PASSWORD},
    "logins": {"x": [{"userName": "bob", "passWord": PASSWORD}]},
    "token": PASSWORD,
    "birthday": "2000-01-01",
    "at": "2026-01-01T12:00:00.123456Z",
    "pause": "P1DT0.5S",
    "price": "0.10",
    "colour": "red",
    "raw": "é",
    "tags": ["x", "y"],
    "pet": {"petKind": "dog"},
    "zero": -0.0,
    "point": {"x": 1.5, "y": 2.5},
}


def job_type_of(params: type[Params], example: dict[str, Any]) -> JobType[Any, Any]:
    return JobType(name="odd", summary="Odd.", params=params, result=Any, example=example)


def validated(job_type: JobType[Any, Any]) -> Params:
    model: Params = job_type.params.model_validate_json(orjson.dumps(job_type.example), strict=True)
    return model


def test_the_handler_gets_what_was_validated():
    job_type = job_type_of(Everything, EVERYTHING)
    job_type.check_example()
    given: Any = validated(job_type)
    stored, _ = job_type.codec.encode(given)
    got: Any = job_type.codec.decode(stored)
    for name in set(Everything.model_fields) - {"nothing", "pet"}:
        assert getattr(got, name) == getattr(given, name), name
    assert (got.login.password.get_secret_value(), got.token.get_secret_value()) == (
        PASSWORD,
        PASSWORD.encode(),
    )
    assert got.birthday.get_secret_value() == date(2000, 1, 1)
    assert isinstance(got.pet, Dog)
    assert (str(got.zero), str(got.nothing), str(got.price)) == ("-0.0", "nan", "0.10")
    assert got.at == datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert got.point.y == 2.5


def test_clients_see_aliases_and_computed_fields_and_no_secret():
    job_type = job_type_of(Everything, EVERYTHING)
    stored, shown = job_type.codec.encode(validated(job_type))
    assert PASSWORD.encode() in stored
    seen = orjson.loads(shown)
    assert PASSWORD.encode() not in shown
    assert b"2000-01-01" not in shown
    assert (seen["from"], seen["third"], seen["shout"], seen["token"]) == ("a", "b", "A", "**********")
    assert seen["login"] == {"userName": "ann"}
    assert "hidden" not in seen


class Revealing(Params):
    """Params that write their secret in clear, as is common for JSON."""

    token: SecretStr
    maybe: list[SecretStr] | None = None

    @field_serializer("token", "maybe", when_used="json")
    def reveal(self, value: Any) -> Any:
        return (
            value.get_secret_value()
            if isinstance(value, SecretStr)
            else [v.get_secret_value() for v in value]
        )


def test_a_serializer_of_the_author_shows_no_secret_either():
    job_type = job_type_of(Revealing, {"token": PASSWORD, "maybe": [PASSWORD]})
    job_type.check_example()
    stored, shown = job_type.codec.encode(validated(job_type))
    assert stored.count(PASSWORD.encode()) == 2
    assert orjson.loads(shown) == {"token": "**********", "maybe": ["**********"]}


class Lossy(Params):
    fine: int = 0
    rounded: Annotated[float, PlainSerializer(round)]


class Unwritable(Params):
    raw: bytes = b"\xff"


class Growing(Params):
    limit: int = "many"  # type: ignore[assignment]
    file: FileReference | None = None


@pytest.mark.parametrize(
    ("params", "example", "field"),
    [(Lossy, {"rounded": 1.5}, "rounded"), (Unwritable, {}, "raw"), (Growing, {}, "limit")],
)
def test_a_contract_whose_example_does_not_survive_is_refused_by_type_and_field(params, example, field):
    with pytest.raises(ValueError, match=f"'odd' can't get its params: the field '{field}'"):
        job_type_of(params, example).check_example()


def test_a_contract_whose_example_is_not_valid_is_refused():
    with pytest.raises(ValueError, match="'odd' is not valid: rounded: Field required"):
        job_type_of(Lossy, {}).check_example()


def test_a_submission_that_would_not_survive_is_refused_with_its_field():
    job_type = job_type_of(Lossy, {"rounded": 1.0})
    job_type.check_example()
    submissions = Submissions({"odd": job_type})
    assert (
        submissions.validate({"type": "odd", "params": {"rounded": 2.0}}).encoded.stored
        == b'{"fine":0,"rounded":2}'
    )
    with pytest.raises(InvalidRequest) as refused:
        submissions.validate({"type": "odd", "params": {"rounded": 1.5}})
    assert refused.value.details[0]["path"] == "params.rounded"


@pytest.mark.parametrize("name", ["echo", "sleep", "word_count", "flaky", "mandelbrot"])
def test_plain_params_are_written_once_and_never_read_back(name, monkeypatch):
    job_type = replace(load_job_types()[name])
    monkeypatch.setattr(job_type.codec, "decode", None)
    params = validated(job_type)
    assert job_type.codec.encode(params) == (params.model_dump_json().encode(), b"")


def test_an_error_in_the_params_quotes_no_value():
    with pytest.raises(ValueError, match="validation error") as error:
        Revealing.model_validate({"token": [PASSWORD]})
    assert PASSWORD not in str(error.value)


def test_what_can_not_be_read_back_names_its_field():
    with pytest.raises(ParamsNotKept) as error:
        job_type_of(Lossy, {}).codec.encode(Lossy(rounded=1.5))
    assert error.value.field == "rounded"
