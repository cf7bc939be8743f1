"""The API's settings: each field is the environment variable of the same name."""

from ipaddress import ip_network
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from shared.settings import SharedSettings


class ApiSettings(SharedSettings):
    queue_max_waiting: Annotated[int, Field(ge=1, description="Jobs that may wait in one queue")] = 100000
    api_max_body_bytes: Annotated[int, Field(ge=1024, description="Largest request body")] = 1048576
    api_trusted_proxies: Annotated[
        tuple[str, ...],
        NoDecode,
        Field(
            description="Addresses or networks whose X-Forwarded headers count, separated by commas; *: all"
        ),
    ] = ("127.0.0.1",)

    @field_validator("api_trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        proxies = [name.strip() for name in value.split(",") if name.strip()]
        for proxy in proxies:
            if proxy != "*":
                try:
                    ip_network(proxy)
                except ValueError:
                    raise ValueError(f"{proxy!r} is no address, no network and not *") from None
        return proxies
