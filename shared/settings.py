"""The settings that both processes share. Each field is the environment variable of the same name."""

import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn, TypeVar

from pydantic import Field, SecretBytes, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from shared.addresses import Network, read_networks
from shared.job_type_loader import OWN_PACKAGES
from shared.secret_files import SecretFiles, UnusableSecretFile
from shared.store.redis_url import read_redis_url
from shared.store.slots import MOST_SHARDS
from shared.webhooks.addresses import read_ports
from shared.webhooks.signing import Signing, read_secrets

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
KeptSeconds = Annotated[int, Field(ge=1, le=10 * 365 * 86400)]
PackageName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")]
S = TypeVar("S", bound="SharedSettings")


class SharedSettings(BaseSettings):
    """The settings of API and worker alike."""

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Secret files come before the environment, where an empty setting beside its file is absent."""
        return init_settings, SecretFiles(settings_cls), env_settings

    redis_url: Annotated[
        SecretStr,
        Field(
            description="Redis: redis://, rediss:// or unix://, the Sentinels of a primary: "
            "redis+sentinel://, or nodes of a cluster: redis+cluster://; the password percent-encoded"
        ),
    ] = SecretStr("redis://localhost:6379/0")
    redis_shards: Annotated[
        int,
        Field(
            ge=0,
            le=MOST_SHARDS,
            description="Shards of a Redis Cluster, the same number in every process; 0: 8",
        ),
    ] = 0
    artifacts_url: Annotated[
        str,
        Field(
            validate_default=True,
            description="Where files are kept: file:///folder, file:folder below the current one, "
            "or s3://bucket/prefix",
        ),
    ] = "file:data/artifacts"
    job_types: Annotated[
        tuple[PackageName, ...],
        NoDecode,
        Field(min_length=1, description="Packages of job types, separated by commas"),
    ] = OWN_PACKAGES
    retain_completed: Annotated[KeptSeconds, Field(description="Seconds a completed job can be read")] = 86400
    retain_failed: Annotated[KeptSeconds, Field(description="Seconds a failed job can be read")] = 604800
    retain_cancelled: Annotated[KeptSeconds, Field(description="Seconds a cancelled job can be read")] = 86400
    webhook_secrets: Annotated[
        tuple[SecretBytes, ...],
        NoDecode,
        Field(description="Secrets that sign webhooks, the newest first, separated by commas; empty: none"),
    ] = ()
    webhook_allowed_networks: Annotated[
        tuple[Network, ...],
        NoDecode,
        Field(description="Networks that webhooks may go to although not public, separated by commas"),
    ] = ()
    webhook_allowed_ports: Annotated[
        tuple[Port, ...],
        NoDecode,
        Field(description="Ports below 1025 that webhooks may use beside 80 and 443, separated by commas"),
    ] = ()
    webhook_signing: Annotated[
        Signing,
        Field(description="Keys that sign webhooks: receiver, shared (older receivers), or both"),
    ] = "both"
    retain_files: Annotated[
        KeptSeconds,
        Field(description="Seconds an uploaded file is kept, and longer while a job names it"),
    ] = 86400
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], Field(description="Least severe level that is logged")
    ] = "INFO"
    traces: Annotated[
        Literal["off", "link", "parent"],
        Field(
            description="OpenTelemetry traces: off; link: the span of an attempt is linked to that of its "
            "submission; parent: it is a child of that"
        ),
    ] = "off"
    log_format: Annotated[
        Literal["json", "console"], Field(description="json: one object a line; console: for people")
    ] = "json"

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, url: SecretStr) -> SecretStr:
        read_redis_url(url.get_secret_value())
        return url

    @property
    def shards(self) -> int:
        """The number of shards: one without a cluster."""
        return (self.redis_shards or 8) if read_redis_url(self.redis_url.get_secret_value()).nodes else 1

    @field_validator("job_types", mode="before")
    @classmethod
    def _read_packages(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        packages = [name.strip() for name in value.split(",") if name.strip()]
        if len(set(packages)) < len(packages):
            raise ValueError("must name each package once")
        return packages

    @field_validator("webhook_secrets", mode="before")
    @classmethod
    def _read_secrets(cls, value: object) -> object:
        return read_secrets(value) if isinstance(value, str) else value

    @field_validator("webhook_allowed_networks", mode="before")
    @classmethod
    def _read_networks(cls, value: object) -> object:
        return read_networks(value) if isinstance(value, str) else value

    @field_validator("webhook_allowed_ports", mode="before")
    @classmethod
    def _read_ports(cls, value: object) -> object:
        return read_ports(value) if isinstance(value, str) else value

    @field_validator("artifacts_url")
    @classmethod
    def _absolute(cls, url: str) -> str:
        scheme, _, path = url.partition(":")
        relative = scheme == "file" and path and not path.startswith("/")
        return Path(path).absolute().as_uri() if relative else url

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level


def read_settings(kind: type[S]) -> S:
    """The settings of a process from its environment; a wrong value ends the process with exit code 2."""
    try:
        return kind()
    except UnusableSecretFile as error:
        refuse(str(error))
    except ValidationError as error:
        refuse(
            "; ".join(
                f"{str(fault['loc'][0]).upper()}: {fault['msg'].removeprefix('Value error, ')}"
                for fault in error.errors(include_url=False, include_context=False, include_input=False)
            )
        )


def refuse(reason: str) -> NoReturn:
    """End the process with exit code 2 and one line that names what to correct."""
    print(f"Configuration error: {reason} (.env.example lists every setting)", file=sys.stderr, flush=True)
    raise SystemExit(2)
