"""The API's settings: each field is the environment variable of the same name."""

from dataclasses import fields
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from api.keys.api_key import MAX_RATE, ApiKey, read_keys
from api.middleware.cors import EVERY_ORIGIN, read_origins
from api.middleware.hosts import read_hosts
from api.quotas import Quotas
from shared.files import LARGEST
from shared.settings import SharedSettings


class ApiSettings(SharedSettings):
    queue_max_waiting: Annotated[int, Field(ge=1, description="Jobs that may wait in one queue")] = 100000
    redis_ack_replicas: Annotated[
        int, Field(ge=0, le=16, description="Replicas that must have a job before its 202; 0: none")
    ] = 0
    redis_ack_milliseconds: Annotated[
        int, Field(ge=1, le=10_000, description="Time in which they must confirm it, in milliseconds")
    ] = 500
    api_max_body_bytes: Annotated[int, Field(ge=1024, description="Largest request body")] = 1048576
    api_max_file_bytes: Annotated[
        int, Field(ge=1024, le=LARGEST, description="Largest request body that brings a file")
    ] = 1073741824
    api_workers: Annotated[
        int, Field(ge=0, le=256, description="Processes of `python -m api`; 0: one for each CPU")
    ] = 1
    api_max_connections: Annotated[
        int, Field(ge=0, description="Connections at once; 0: as many as the limit of open files allows")
    ] = 0
    api_trusted_proxies: Annotated[
        tuple[str, ...],
        NoDecode,
        Field(
            description="Addresses or networks whose X-Forwarded headers count, separated by commas; *: all"
        ),
    ] = ("127.0.0.1",)
    api_keys: Annotated[
        tuple[ApiKey, ...],
        NoDecode,
        Field(description="Who may call: name:scopes:sha256[:rate], separated by commas; empty: everybody"),
    ] = ()
    api_keys_file: Annotated[
        str, Field(description="A file that says who may call, in TOML or JSON; SIGHUP reads it again")
    ] = ""
    api_rate_limit: Annotated[
        int, Field(ge=0, le=MAX_RATE, description="Requests a minute for each key; 0: no limit")
    ] = 0
    api_quota_jobs_waiting: Annotated[
        int, Field(ge=0, description="Jobs of each key that may wait; 0: no bound")
    ] = 0
    api_quota_kept_bytes: Annotated[
        int, Field(ge=0, description="Bytes of params and results kept for each key; 0: no bound")
    ] = 0
    api_quota_files: Annotated[int, Field(ge=0, description="Files kept for each key; 0: no bound")] = 0
    api_quota_file_bytes: Annotated[
        int, Field(ge=0, description="Bytes of all files kept for each key; 0: no bound")
    ] = 0
    api_quota_uploads_at_once: Annotated[
        int, Field(ge=0, description="Uploads of each caller at once in one process; 0: no bound")
    ] = 16
    api_quota_streams_at_once: Annotated[
        int, Field(ge=0, description="Event streams of each caller at once in one process; 0: no bound")
    ] = 1000
    api_quota_waits_at_once: Annotated[
        int, Field(ge=0, description="Waiting requests of each caller at once in one process; 0: no bound")
    ] = 1000

    api_allowed_hosts: Annotated[
        tuple[str, ...],
        NoDecode,
        Field(description="Hosts that requests may name besides localhost and IP addresses; *: all"),
    ] = ()
    api_cors_origins: Annotated[
        tuple[str, ...],
        NoDecode,
        Field(description="Origins whose web pages may call the API, separated by commas; *: all"),
    ] = ()
    api_docs: Annotated[
        Literal["on", "off"], Field(description="Whether /docs and /openapi.json are served")
    ] = "on"
    api_dashboard: Annotated[
        Literal["on", "off"], Field(description="Whether the dashboard at /ui/ is served")
    ] = "on"
    api_metrics: Annotated[
        Literal["on", "off"], Field(description="Whether /metrics is served, for Prometheus")
    ] = "on"

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
                    raise ValueError(f"{proxy!r} must be an IP address, a network, or *") from None
        return proxies

    @field_validator("api_keys", mode="before")
    @classmethod
    def _read_keys(cls, value: object) -> object:
        return read_keys(value) if isinstance(value, str) else value

    @field_validator(
        "api_rate_limit",
        "api_quota_jobs_waiting",
        "api_quota_kept_bytes",
        "api_quota_files",
        "api_quota_file_bytes",
    )
    @classmethod
    def _needs_keys(cls, limit: int, info: ValidationInfo) -> int:
        if limit and info.data.get("api_keys") == () and not info.data.get("api_keys_file"):
            raise ValueError("needs API keys, but API_KEYS lists none; set API_KEYS or API_KEYS_FILE")
        return limit

    @field_validator("api_allowed_hosts", mode="before")
    @classmethod
    def _read_hosts(cls, value: object) -> object:
        return read_hosts(value) if isinstance(value, str) else value

    @field_validator("api_cors_origins", mode="before")
    @classmethod
    def _read_origins(cls, value: object) -> object:
        return read_origins(value) if isinstance(value, str) else value

    @field_validator("api_cors_origins")
    @classmethod
    def _keeps_keyless_apis_closed(cls, origins: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if EVERY_ORIGIN in origins and info.data.get("api_keys") == () and not info.data.get("api_keys_file"):
            raise ValueError(
                "* would let every web page use an API without keys; name origins, or set API_KEYS"
            )
        return origins

    @property
    def quotas(self) -> Quotas:
        """The quotas of a caller without its own."""
        return Quotas(*(getattr(self, f"api_quota_{field.name}") for field in fields(Quotas)))

    @property
    def closed(self) -> bool:
        """Whether callers need a key; also true with a keys file that lists no caller."""
        return bool(self.api_keys or self.api_keys_file)
