"""`make dev`: the Procfile under honcho, with an embedded Redis unless REDIS_URL is set; Ctrl-C ends it."""

import os
import subprocess
import sys

from honcho.environ import parse

from dev.stack import ROOT, free_port


def main() -> int:
    defaults = {
        "ARTIFACTS_URL": "file:.dev/artifacts",
        "LOG_FORMAT": "console",
        "WORKER_GRACE_SECONDS": "2",
        "PYTHONUNBUFFERED": "1",
    }
    environment = {**defaults, **os.environ, **read_dotenv()}
    embedded = not (environment.get("REDIS_URL") or environment.get("REDIS_URL_FILE"))
    if embedded:
        port = free_port()
        environment |= {"REDIS_PORT": str(port), "REDIS_URL": f"redis://127.0.0.1:{port}/0"}
    concurrency = f"redis={int(embedded)},api=1,worker=2"
    command = [sys.executable, "-m", "honcho", "start", "--concurrency", concurrency]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:  # the terminal sends it to honcho as well
            continue
        return 0 if code in (0, 130, -2) else code


def read_dotenv() -> dict[str, str]:
    """What .env sets; honcho reads it as well, and lets it win."""
    file = ROOT / ".env"
    settings: dict[str, str] = parse(file.read_text()) if file.exists() else {}
    return settings


if __name__ == "__main__":
    raise SystemExit(main())
