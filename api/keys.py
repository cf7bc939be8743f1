"""API keys: `python -m api.keys NAME` makes one, `API_KEYS` or a keys file lists them.

A key is shown once, to the person who makes it. The server keeps its SHA-256 alone, and no key can be got
back from that. The short form of a key is an entry of `API_KEYS`, `name:scopes:sha256[:rate]`; the long form
is a table of a keys file (`api/keys_file.py`).
"""

import argparse
import re
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from math import inf

from pydantic import SecretStr

from api.quotas import Quotas

HIGHEST_RATE = 999_999
SEPARATOR = re.compile(r":(?!own(?:[+:]|$))")  # the colon within `read:own` separates nothing
PARTS = {
    "name": (r"[A-Za-z0-9_-]{1,64}", "1 to 64 letters, digits, _ or -"),
    "scopes": (
        r"(read|write|read(:own)?\+write|write(:own)?\+read)(:own)?",
        "read, write or read+write, each as it is or with :own behind it",
    ),
    "sha256": (r"[0-9a-f]{64}", "the SHA-256 of the key, 64 lower-case hexadecimal digits"),
    "rate": (r"[0-9]{1,6}", f"requests a minute, a whole number from 0 (no limit) to {HIGHEST_RATE}"),
}
SECRET = re.compile(r"jobs_[A-Za-z0-9_-]{43}|[0-9a-f]{64}")  # a key or a digest, in the place of a name


class Scope(StrEnum):
    """A right of a key. Reading and writing do not include each other; each includes its own `:own`."""

    READ = "read"
    WRITE = "write"
    READ_OWN = "read:own"
    WRITE_OWN = "write:own"


READING = {Scope.READ, Scope.READ_OWN}
WRITING = {Scope.WRITE, Scope.WRITE_OWN}


@dataclass(frozen=True, slots=True)
class Digest:
    """The digest of a key.

    Attributes:
        sha256: hexadecimal digits; not a secret, but never shown either.
        expires_at: seconds since the epoch from which the key counts no more.
    """

    sha256: SecretStr
    expires_at: float = inf


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A caller as the server knows it, with one key, or several during a rotation.

    Attributes:
        name: the caller's name, in jobs, files and log lines.
        scopes: the rights of the caller.
        digests: the digests of its keys.
        rate: requests a minute, 0 for no limit, or None for that of `API_RATE_LIMIT`.
        quotas: how much it may hold at once.
    """

    name: str
    scopes: frozenset[Scope]
    digests: tuple[Digest, ...]
    rate: int | None = None
    quotas: Quotas = field(default_factory=Quotas)

    def may_read(self, caller: str | None) -> bool:
        """Whether this key reads the jobs and files of a caller; None for those of nobody."""
        return Scope.READ in self.scopes or (Scope.READ_OWN in self.scopes and caller == self.name)


def read_keys(entries: str) -> list[ApiKey]:
    """The keys that `API_KEYS` lists.

    Raises:
        ValueError: an entry is wrong. The message quotes none of it: it may be a key, put there by mistake.
    """
    keys = []
    for number, entry in enumerate(filter(None, map(str.strip, entries.split(","))), 1):
        try:
            keys.append(_read(SEPARATOR.split(entry)))
        except ValueError as error:
            raise ValueError(f"entry {number}: {error}; python -m api.keys makes entries") from None
    _require_unique("name", [key.name for key in keys])
    _require_unique("sha256", [key.digests[0].sha256.get_secret_value() for key in keys])
    return keys


def _read(parts: Sequence[str]) -> ApiKey:
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Make a key and print it in both forms, or check a keys file; wrong arguments end with exit code 2."""
    parser = argparse.ArgumentParser(
        prog="python -m api.keys", description="Make an API key, or check a keys file."
    )
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="the caller: its jobs and files carry this name"
    )
    parser.add_argument(
        "--scopes",
        default="read:own,write:own",
        help="read:own or read, write:own or write, or one of each after a comma (default: %(default)s)",
    )
    parser.add_argument("--rate", help="requests a minute, 0 for no limit (default: API_RATE_LIMIT)")
    parser.add_argument("--check", metavar="FILE", help="make no key: say whether a keys file is right")
    options = parser.parse_args(arguments)

    if options.check is not None:
        _check(options.check)
        return
    if options.name is None:
        parser.error("NAME is missing: name the caller, or give --check FILE")
    key = "jobs_" + secrets.token_urlsafe(32)
    parts = [options.name, options.scopes.replace(",", "+"), sha256(key.encode()).hexdigest()]
    parts += [options.rate] if options.rate is not None else []
    try:
        _read(parts)
    except ValueError as error:
        parser.error(f"no key is made: {error}")
    print(f"The key, for its user alone. It is stored nowhere and not shown again:\n\n  {key}\n")
    print("Its entry. Add it to API_KEYS, after a comma if there are others, and restart the API:\n")
    print(f"  {':'.join(parts)}\n")
    print(
        "Or, in place of that, add this to the file that API_KEYS_FILE names, and send SIGHUP to the API:\n"
    )
    print(_as_table(*parts))


def _as_table(name: str, scopes: str, digest: str, rate: str | None = None) -> str:
    """A key as a table of a keys file."""
    listed = ", ".join(f'"{scope}"' for scope in scopes.split("+"))
    lines = [f"[keys.{name}]", f"scopes = [{listed}]", f'digests = ["{digest}"]']
    lines += [f"rate = {int(rate)}"] if rate is not None else []
    return "\n".join(lines)


def _check(path: str) -> None:
    from api.keys_file import read_keys_file  # that module imports this one

    try:
        keys = read_keys_file(path)
    except ValueError as error:
        print(f"The keys file is wrong: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(f"The keys file is right; callers: {len(keys)}")
    for key in keys:
        print(f"  {key.name}: {', '.join(sorted(key.scopes))}; keys: {len(key.digests)}")


if __name__ == "__main__":
    main()
