"""`python -m api`: the API in one process or several, on uvicorn, whose further options it takes."""

import argparse
import sys
from contextlib import nullcontext

from uvicorn.main import main as run_uvicorn

from api.main import create_app
from api.metrics.api_metrics import shared_cells
from api.settings import ApiSettings
from shared.cpus import available_cpus
from shared.settings import read_settings


def main(arguments: list[str]) -> None:
    """Serve until a signal comes. Wrong settings or options end the process with exit code 2 and one line."""
    parser = argparse.ArgumentParser(
        prog="python -m api",
        description=__doc__,
        epilog="Further options are those of uvicorn: uvicorn --help.",
    )
    parser.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="processes; 0 or auto: one for each CPU (default: API_WORKERS, which is 1 unless it is set)",
    )
    options, further = parser.parse_known_args(arguments)
    settings = read_settings(ApiSettings)
    workers = (settings.api_workers if options.workers is None else options.workers) or available_cpus()
    if workers > 1:
        create_app(
            settings
        )  # a setting that the app refuses ends this process, not one child after the other
    shared = workers > 1 and settings.api_metrics == "on"
    with shared_cells() if shared else nullcontext():
        run_uvicorn(["api.main:app", "--workers", str(workers), *further])


def _count(text: str) -> int:
    if text == "auto":
        return 0
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes; give 1 or more, or auto")
    return int(text)


if __name__ == "__main__":
    main(sys.argv[1:])
