"""Give back what was sent: the smallest job there is."""

from pydantic import JsonValue

from shared.contract import Contract, Params


class EchoParams(Params):
    message: JsonValue


ECHO = Contract(
    name="echo",
    summary="Return the params as they came.",
    params=EchoParams,
    result=EchoParams,
    example={"message": "hello"},
    timeout=30,
)
