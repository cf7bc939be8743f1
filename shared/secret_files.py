"""Secrets from files: for each setting that holds one, `NAME_FILE` may name a file in place of `NAME`."""

import os
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretBytes, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

LARGEST = 2**20  # bytes


class SecretFiles(PydanticBaseSettingsSource):
    """Settings that hold a secret, read from the file that `NAME_FILE` names.

    Raises:
        UnusableSecretFile: the file can't be read, or the setting itself is given as well.
    """

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        self._given = {name.lower(): value for name, value in os.environ.items()}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = self._given.get(f"{field_name}_file")
        if not path or not _holds_secret(field.annotation):
            return None, field_name, False
        if self._given.get(field_name):
            raise UnusableSecretFile(field_name, f"remove it or {field_name.upper()}: both are set")
        return _read_secret(path, field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {
            name: self.get_field_value(field, name)[0]
            for name, field in self.settings_cls.model_fields.items()
        }
        return {name: value for name, value in values.items() if value is not None}


class UnusableSecretFile(ValueError):
    """A setting's secret can't be read from its file."""

    def __init__(self, field_name: str, reason: str) -> None:
        super().__init__(f"{field_name.upper()}_FILE: {reason}")


def _read_secret(path: str, field_name: str) -> str:
    """The content of a secret's file without the newline at its end."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST + 1)
        secret = content.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        reason = f"the file can't be read ({error.strerror}); name a file that this process may read"
        raise UnusableSecretFile(field_name, reason) from None
    except UnicodeDecodeError:
        raise UnusableSecretFile(field_name, "the file is not text in UTF-8; save it as UTF-8") from None
    if len(content) > LARGEST:
        reason = f"the file has more than {LARGEST} bytes; name a file that holds only the secret"
        raise UnusableSecretFile(field_name, reason)
    return secret


def _holds_secret(annotation: Any) -> bool:
    return annotation in (SecretStr, SecretBytes) or any(map(_holds_secret, get_args(annotation)))
