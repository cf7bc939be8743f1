"""API keys: `python -m api.keys NAME` makes one, the setting `API_KEYS` lists them.

A key is shown once, to whoever makes it. What is kept is an entry of `API_KEYS`, `name:scopes:sha256` or
`name:scopes:sha256:rate`, and no key can be got back from it.
"""

import argparse
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from pydantic import SecretStr

from api.quotas import Quotas

HIGHEST_RATE = 999_999
PARTS = {
    "name": (r"[A-Za-z0-9_-]{1,64}", "1 to 64 letters, digits, _ or -"),
    "scopes": (r"read|write|read\+write|write\+read", "read, write or read+write"),
    "sha256": (r"[0-9a-f]{64}", "the SHA-256 of the key, 64 lower-case hexadecimal digits"),
    "rate": (r"[0-9]{1,6}", f"requests a minute, a whole number from 0 (no limit) to {HIGHEST_RATE}"),
}


class Scope(StrEnum):
    """What a key may be used for; neither includes the other."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What the server knows of a key.

    Attributes:
        name: its caller, as jobs and log lines know it.
        scopes: what it may be used for.
        digest: the key's SHA-256 in hexadecimal digits; no secret, but nothing to show around either.
        rate: requests a minute, 0 for no limit, or None for that of `API_RATE_LIMIT`.
        quotas: how much it may hold at once.
    """

    name: str
    scopes: frozenset[Scope]
    digest: SecretStr
    rate: int | None = None
    quotas: Quotas = field(default_factory=Quotas)


def read_keys(entries: str) -> list[ApiKey]:
    """The keys that `API_KEYS` lists.

    Raises:
        ValueError: an entry is wrong. The message quotes none of it: it may be a key, put there by mistake.
    """
    keys = []
    for number, entry in enumerate(filter(None, map(str.strip, entries.split(","))), 1):
        try:
            keys.append(_read(entry.split(":")))
        except ValueError as error:
            raise ValueError(f"entry {number}: {error}; python -m api.keys makes entries") from None
    _require_unique("name", [key.name for key in keys])
    _require_unique("sha256", [key.digest.get_secret_value() for key in keys])
    return keys


def _read(parts: Sequence[str]) -> ApiKey:
    if len(parts) not in (3, 4):
        raise ValueError("it must be name:scopes:sha256 or name:scopes:sha256:rate")
    for (part, (pattern, rule)), text in zip(PARTS.items(), parts, strict=False):
        if not re.fullmatch(pattern, text):
            raise ValueError(f"its {part} must be {rule}")
    name, scopes, digest, *rate = parts
    return ApiKey(
        name, frozenset(map(Scope, scopes.split("+"))), SecretStr(digest), int(rate[0]) if rate else None
    )


def _require_unique(part: str, values: list[str]) -> None:
    for number, value in enumerate(values, 1):
        if value in values[: number - 1]:
            raise ValueError(f"entry {number}: its {part} is that of entry {values.index(value) + 1} too")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a key and print it, with its entry for `API_KEYS`; wrong arguments end with exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m api.keys", description="Make an API key.")
    parser.add_argument("name", metavar="NAME", help="who will use it: the caller that its jobs are known by")
    parser.add_argument("--scopes", default="read,write", help="read, write or read,write (default)")
    parser.add_argument("--rate", help="requests a minute, 0 for no limit (default: API_RATE_LIMIT)")
    options = parser.parse_args(arguments)

    key = "jobs_" + secrets.token_urlsafe(32)
    parts = [options.name, options.scopes.replace(",", "+"), sha256(key.encode()).hexdigest()]
    parts += [options.rate] if options.rate is not None else []
    try:
        _read(parts)
    except ValueError as error:
        parser.error(f"no key is made: {error}")
    print(f"The key, for its user alone. It is stored nowhere and not shown again:\n\n  {key}\n")
    print("Its entry. Add it to API_KEYS, after a comma if there are others, and restart the API:\n")
    print(f"  {':'.join(parts)}")


if __name__ == "__main__":
    main()
