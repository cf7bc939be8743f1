"""Commands of the project as processes, with their exit codes and output."""

import subprocess
import sys

from dev.stack import PATIENCE, ROOT


def run_python(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A process that is expected to end by itself; `finish` waits for it."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], *, seconds: float = PATIENCE) -> tuple[int, str]:
    """Exit code and output of a process, which is killed after that many seconds.

    Raises:
        subprocess.TimeoutExpired: it lives longer.
    """
    try:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode, output
    finally:
        process.kill()
        process.communicate()
