"""The earlier release beside this one: the workers of each serve the API of the other, and no job is lost."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from chaos import records
from chaos.chaos_service import chaos_service
from chaos.checks import Check, exactly, figure
from chaos.load_generator import LoadGenerator
from chaos.suite_options import SuiteOptions
from dev.service import WorkerProcess
from dev.stack import ROOT, join, terminate

RATE, SECONDS, LEASE = 100, 6, 2
MODULE = "worker"  # the earlier release may have no `chaos.worker`


def run(options: SuiteOptions) -> list[Check]:
    name = earlier()
    if name is None:
        return [figure("N-1 beside N: skipped", "no earlier release in this folder")]
    with unpacked(name) as folder:
        old = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(folder)}
        there = {**old, "UVICORN_APP_DIR": str(folder)}
        return [
            *together(options, f"API now, workers {name} then now", {}, (old, {})),
            *together(options, f"API {name}, workers now then {name}", there, ({}, old)),
        ]


def together(
    options: SuiteOptions, name: str, api: dict[str, str], two: tuple[dict[str, str], ...]
) -> list[Check]:
    """Load one release's API while its workers change from the first of two releases to the second."""
    seconds = max(1.0, SECONDS * options.scale)
    with chaos_service(api=False, WORKER_LEASE_SECONDS=str(LEASE)) as service:
        service.stack.start_api(**api)
        first, second = two
        doomed, leaver = (service.start_worker(module=MODULE, **first) for _ in range(2))
        for worker in (doomed, leaver):
            worker.wait_ready()
        with LoadGenerator(service.stack.api_url, rate=RATE, seconds=(0, 0.1), rng=options.rng(name)) as load:
            pause(doomed, seconds / 3)
            last = service.start_worker(module=MODULE, **second)
            last.wait_ready()
            pause(last, seconds / 3)
            doomed.kill()  # the other release rescues its jobs
            terminate(leaver.process)
            code = join(leaver.process, seconds=30)
            pause(last, seconds / 3)
        found = records.settled(service.redis, load.accepted, seconds=20)
        failed = sum(record.get("state") == "failed" for record in found.values())
        dead = (not last.alive) + (code != 0)
    lost = records.check_ends(name, found)[:1]  # without the check of versions, which progress raises too
    return [
        *lost,
        exactly(f"{name}: jobs that failed", failed, 0),
        exactly(f"{name}: submissions refused", load.refused, 0),
        exactly(f"{name}: processes with an exit code other than 0", dead, 0),
    ]


def pause(worker: WorkerProcess, seconds: float) -> None:
    """Sleep for `seconds`; raises RuntimeError if the worker exits."""
    try:
        worker.process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return
    raise RuntimeError(f"{worker.name} exited; its log says why.")


def earlier() -> str | None:
    """The newest tag before this commit, or the commit before it; None outside a repository."""
    for command in (("describe", "--tags", "--abbrev=0", "HEAD~1"), ("rev-parse", "--short", "HEAD~1")):
        found = git(*command)
        if found is not None:
            return found.decode().strip()
    return None


def git(*words: str) -> bytes | None:
    """The output of a git command; None if it fails."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, timeout=20)  # noqa: S603, S607
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


@contextmanager
def unpacked(name: str) -> Iterator[Path]:
    """Unpack a release into a temporary folder within the block."""
    with TemporaryDirectory(prefix="job-server-release-") as folder:
        archive = Path(folder) / "release.tar"
        archive.write_bytes(git("archive", "--format=tar", name) or b"")
        subprocess.run(["tar", "-xf", str(archive), "-C", folder], check=True, timeout=20)  # noqa: S603, S607
        yield Path(folder)
