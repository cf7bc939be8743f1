"""Make an API key: `python -m api.keys NAME`; `--check FILE` checks a keys file."""

import argparse
import secrets
import sys
from collections.abc import Sequence
from hashlib import sha256

from api.keys.api_key import read_entry
from api.keys.keys_file import read_keys_file


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
        help="read:own or read, write:own or write, admin, or several after commas (default: %(default)s)",
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
        read_entry(parts)
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
