"""`make dev`: the processes of the Procfile in this terminal, under honcho. Ctrl-C ends them.

`python -m dev new-job-type NAME` writes the files of a new job type instead.

Redis is embedded, with its data in `.dev/redis`, unless REDIS_URL is set. The processes run in the root of
this tree. PYTHONPATH leads them to packages of JOB_TYPES outside of it, whose changes are reloaded too.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from honcho.environ import parse

from dev import model_libraries
from dev.new_job_type import UnusableName, write_job_type
from dev.stack import ROOT, free_port

WORKERS = 2
API_URL = "http://localhost:8000"
DEFAULTS = {
    "ARTIFACTS_URL": "file:.dev/artifacts",
    "LOG_FORMAT": "console",
    "WORKER_GRACE_SECONDS": "2",
    "PYTHONUNBUFFERED": "1",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m dev",
        description=f"Start Redis, the API and {WORKERS} workers in this terminal; Ctrl-C ends them.",
        epilog="Settings come from the environment and from .env. With REDIS_URL no Redis is started.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    new = commands.add_parser("new-job-type", help="write contract, handler and test of a new job type")
    new.add_argument("name", help="the type's name, such as reverse")
    new.add_argument(
        "--package",
        type=Path,
        default=ROOT / "job_types",
        metavar="FOLDER",
        help="a folder of your own, such as ../my_types (default: job_types)",
    )
    given = parser.parse_args(arguments)
    return new_job_type(given.name, given.package) if given.command else run_procfile()


def new_job_type(name: str, package: Path) -> int:
    """Write the files of a new job type; returns the exit code."""
    try:
        print(write_job_type(name, package))
    except UnusableName as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def run_procfile() -> int:
    """Run the Procfile until Ctrl-C or SIGTERM; returns honcho's exit code, 0 for an end by signal."""
    environment = {**DEFAULTS, **os.environ, **read_dotenv()}
    embedded = not (environment.get("REDIS_URL") or environment.get("REDIS_URL_FILE"))
    if embedded:
        port = free_port()
        environment |= {"REDIS_PORT": str(port), "REDIS_URL": f"redis://127.0.0.1:{port}/0"}
    environment["JOB_TYPE_FOLDERS"] = os.pathsep.join(job_type_folders(environment))
    models = serves_models(environment)
    print(describe_stack(environment["REDIS_URL"] if embedded else None, models=models), flush=True)
    concurrency = f"redis={int(embedded)},api=1,worker={WORKERS},models={int(models)}"
    command = [sys.executable, "-m", "honcho", "start", "--concurrency", concurrency]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())  # honcho ends the others
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:  # the terminal sends Ctrl-C to honcho as well
            continue
        return 0 if code in (0, 130, 143, -signal.SIGINT, -signal.SIGTERM) else code


def serves_models(environment: Mapping[str, str]) -> bool:
    """Whether a worker for the job types with a model is started: their libraries are there, and they are."""
    packages = environment.get("JOB_TYPES", "job_types").split(",")
    return not model_libraries.missing() and "job_types" in map(str.strip, packages)


def describe_stack(embedded_redis: str | None, *, models: bool) -> str:
    """The lines that `make dev` begins with."""
    redis = f"{embedded_redis}, data in .dev/redis" if embedded_redis else "as REDIS_URL says"
    return "\n".join(
        (
            f"  API      {API_URL} (reference: {API_URL}/docs)",
            f"  Redis    {redis}",
            f"  workers  {WORKERS}{', and one for models' if models else ''}",
            "The code is reloaded when it changes. Ctrl-C ends everything.\n",
        )
    )


def job_type_folders(environment: Mapping[str, str]) -> list[str]:
    """The folders of the packages in JOB_TYPES, for the reloaders; not those of installed packages."""
    paths = [".", *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    packages = [name.strip() for name in environment.get("JOB_TYPES", "").split(",") if name.strip()]
    folders = [ROOT / path / package.replace(".", "/") for package in packages for path in paths]
    return [str(folder.resolve()) for folder in folders if folder.is_dir()] or [str(ROOT / "job_types")]


def read_dotenv() -> dict[str, str]:
    """The settings in .env; honcho reads the file too, and prefers it to the environment."""
    file = ROOT / ".env"
    settings: dict[str, str] = parse(file.read_text()) if file.exists() else {}
    return settings


if __name__ == "__main__":
    raise SystemExit(main())
