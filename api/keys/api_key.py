"""API keys: made by `python -m api.keys NAME`, listed in `API_KEYS` or in a keys file.

A key is shown once, to the person who makes it. The server keeps its SHA-256 alone, from which nobody can
compute the key. The short form of a key is an entry of `API_KEYS`, `name:scopes:sha256[:rate]`; the long form
is a table of a keys file (`api/keys/keys_file.py`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

from pydantic import SecretStr

from api.quotas import Quotas

MAX_RATE = 999_999
SEPARATOR = re.compile(r":(?!own(?:[+:]|$))")  # not the colon within `read:own`
PARTS = {
    "name": (r"[A-Za-z0-9_-]{1,64}", "1 to 64 letters, digits, _ or -"),
    "scopes": (
        r"(read(:own)?(\+write(:own)?)?|write(:own)?(\+read(:own)?)?)(\+admin)?|admin",
        "read, write or read+write, each as it is or with :own behind it, and +admin or not",
    ),
    "sha256": (r"[0-9a-f]{64}", "the SHA-256 of the key, 64 lower-case hexadecimal digits"),
    "rate": (r"[0-9]{1,6}", f"requests a minute, a whole number from 0 (no limit) to {MAX_RATE}"),
}
SECRET = re.compile(r"jobs_[A-Za-z0-9_-]{43}|[0-9a-f]{64}")  # a key or a digest, in the place of a name


class Scope(StrEnum):
    """A right of a key. None of reading, writing and steering includes another; each includes its `:own`."""

    READ = "read"
    WRITE = "write"
    READ_OWN = "read:own"
    WRITE_OWN = "write:own"
    ADMIN = "admin"


READING = {Scope.READ, Scope.READ_OWN}
WRITING = {Scope.WRITE, Scope.WRITE_OWN}


@dataclass(frozen=True, slots=True)
class Digest:
    """The digest of a key.

    Attributes:
        sha256: hexadecimal digits; not a secret, but never shown either.
        expires_at: end of the key's validity, in seconds since the epoch.
    """

    sha256: SecretStr
    expires_at: float = inf


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A caller with one key, or with several during a rotation.

    Attributes:
        name: the caller's name, in jobs, files and log lines.
        scopes: the rights of the caller.
        digests: the digests of its keys.
        rate: requests a minute, 0 for no limit, or None for that of `API_RATE_LIMIT`.
        quotas: bounds on the caller's jobs, files and open requests.
    """

    name: str
    scopes: frozenset[Scope]
    digests: tuple[Digest, ...]
    rate: int | None = None
    quotas: Quotas = field(default_factory=Quotas)

    def may_read(self, caller: str | None) -> bool:
        """Whether this key reads the jobs and files of a caller; None for jobs without a caller."""
        return Scope.READ in self.scopes or (Scope.READ_OWN in self.scopes and caller == self.name)


def read_keys(entries: str) -> list[ApiKey]:
    """Read the keys in `API_KEYS`.

    Raises:
        ValueError: an entry is wrong. The message quotes no part of the entry, which may be a key by mistake.
    """
    keys = []
    for number, entry in enumerate(filter(None, map(str.strip, entries.split(","))), 1):
        try:
            keys.append(read_entry(SEPARATOR.split(entry)))
        except ValueError as error:
            raise ValueError(f"entry {number}: {error}; python -m api.keys makes entries") from None
    _require_unique("name", [key.name for key in keys])
    _require_unique("sha256", [key.digests[0].sha256.get_secret_value() for key in keys])
    return keys


def read_entry(parts: Sequence[str]) -> ApiKey:
    if len(parts) not in (3, 4):
        raise ValueError("it must be name:scopes:sha256 or name:scopes:sha256:rate")
    for (part, (pattern, rule)), text in zip(PARTS.items(), parts, strict=False):
        if not re.fullmatch(pattern, text):
            raise ValueError(f"its {part} must be {rule}")
    name, scopes, digest, *rate = parts
    if SECRET.search(name):
        raise ValueError("its name looks like a key: name the caller instead")
    return ApiKey(
        name,
        frozenset(map(Scope, scopes.split("+"))),
        (Digest(SecretStr(digest)),),
        int(rate[0]) if rate else None,
    )


def _require_unique(part: str, values: list[str]) -> None:
    for number, value in enumerate(values, 1):
        if value in values[: number - 1]:
            raise ValueError(f"entry {number}: its {part} is that of entry {values.index(value) + 1} too")
